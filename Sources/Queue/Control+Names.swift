internal import Redis

/// Names in use, bounded: for the completion of a command line.
extension Control {
  private static let most = 200

  /// The operations that changed last.
  public func operationNames() async throws -> [String] {
    try await read([["ZRANGE", .text(keys.operations), 0, .integer(Self.most), "REV"]])[0].texts
  }

  /// The batches that failed last.
  public func failedNames() async throws -> [String] {
    try await read([["ZRANGE", .text(keys.failed), 0, .integer(Self.most), "REV"]])[0].texts
  }

  /// The workers that were heard last.
  public func workerNames() async throws -> [String] {
    try await read([["ZRANGE", .text(keys.workers), 0, .integer(Self.most), "REV"]])[0].texts
  }

  /// What is paused, as `resume` takes it.
  public func pausedNames() async throws -> [String] {
    try await read([["SMEMBERS", .text(keys.paused)]])[0].texts.sorted()
  }

  /// The batches that run or wait for a time.
  public func liveNames() async throws -> [String] {
    try await read([
      ["ZRANGE", .text(keys.leases), 0, .integer(Self.most)],
      ["ZRANGE", .text(keys.delayed), 0, .integer(Self.most)],
    ]).flatMap(\.texts)
  }

  /// The accounts that have a batch under way.
  public func accountNames() async throws -> [String] {
    let page =
      try await read([
        ["HSCAN", .text(keys.lanes), "0", "COUNT", .integer(Self.most)]
      ])[0].array?.last?.texts ?? []
    let lanes = stride(from: 0, to: page.count - 1, by: 2).map { page[$0] }
    return Set(lanes.map { String($0.drop { $0 != ":" }.dropFirst()) }).sorted()
  }
}
