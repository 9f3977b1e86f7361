internal import Redis

/// Many batches at once: finding those that a filter fits, and calling one function for each.
extension Control {
  private static let step = 1_000
  private static let fields: [RedisArgument] = [
    "status", "operation", "account", "pipeline", "stage", "error", "admitted_at", "finished_at",
    "number",
  ]

  /// Walks over the batches that fit, in small steps: workers may run meanwhile, and what changes under the walk is seen
  /// as it was or as it is. A batch may be shown twice.
  /// - Parameter body: is given the batches of each step that fit, and how many were looked at in it.
  public func find(
    _ filter: BatchFilter, _ body: ([BatchState], _ looked: Int) async throws -> Void
  ) async throws {
    if let operation = filter.operation {
      try await findMembers(of: operation, filter, body)
    } else if filter.statuses == ["failed"] {
      try await pages(["ZSCAN", .text(keys.failed)], []) { page in
        let ids = stride(from: 0, to: page.count - 1, by: 2).compactMap { page[$0].text }
        try await body(try await fitting(filter, ids), ids.count)
      }
    } else {
      let start = keys.batch("")
      try await pages(["SCAN"], ["MATCH", .text("\(start)*")]) { page in
        let ids = page.compactMap(\.text).map { String($0.dropFirst(start.count)) }
        try await body(try await fitting(filter, ids), ids.count)
      }
    }
  }

  /// Those of the batches that fit now.
  public func fitting(_ filter: BatchFilter, _ ids: [String]) async throws -> [BatchState] {
    let replies = try await connection.callAll(
      ids.map { ["HMGET", .text(keys.batch($0))] + Self.fields })
    return try zip(ids, replies).compactMap { id, reply in
      if case .error(let error) = reply {
        // A key of another type is no batch: doctor names it.
        guard error.serverCode == "WRONGTYPE" else { throw error }
        return nil
      }
      var fields: [String: String] = [:]
      for (name, value) in zip(Self.fields, reply.array ?? []) {
        if case .text(let name) = name { fields[name] = value.text }
      }
      return BatchState(id, fields).flatMap { filter.fits($0) ? $0 : nil }
    }
  }

  private func findMembers(
    of operation: String, _ filter: BatchFilter,
    _ body: ([BatchState], _ looked: Int) async throws -> Void
  ) async throws {
    // A batch that bears the operation's name may have been enqueued without one.
    try await body(try await fitting(filter, [operation]), 1)
    // From the end: what is forgotten leaves at the front and what comes joins at the end, so nobody is passed over.
    var last = -1
    while true {
      let ids = try await read([
        [
          "LRANGE", .text(keys.members(operation)), .integer(last - Self.step + 1), .integer(last),
        ]
      ])[0].texts
      guard !ids.isEmpty else { return }
      try await body(try await fitting(filter, ids), ids.count)
      guard ids.count == Self.step else { return }
      last -= Self.step
    }
  }

  /// Follows the cursor of SCAN, ZSCAN or HSCAN to its end.
  /// - Parameter command: the words before the cursor.
  func pages(
    _ command: [RedisArgument], _ options: [RedisArgument], step: Int = step,
    _ body: ([RedisValue]) async throws -> Void
  ) async throws {
    var cursor = "0"
    repeat {
      let page = try await read([
        command + [.text(cursor)] + options + ["COUNT", .integer(step)]
      ])[0].array
      cursor = page?.first?.text ?? "0"
      try await body(page?.last?.array ?? [])
    } while cursor != "0"
  }

  /// What became of a call for one batch.
  public enum Verdict: Sendable {
    /// The function's words.
    case done(String)
    /// The call does not fit the batch as it is: NOTFOUND, LIVE, DONE, ENDED, BROKEN or BADARG, and why in words.
    case refused(String, message: String)
    /// It failed for a reason that others will meet, too.
    case failed(any Error)
  }

  private static let refusals: Set = ["NOTFOUND", "LIVE", "DONE", "ENDED", "BROKEN", "BADARG"]

  /// Runs ended batches again, as `retry` does one, in their order and in one write.
  public func retry(_ batches: [String], from stage: String?) async throws -> [Verdict] {
    try await each(batches, "retry", (stage.map { [.text($0)] } ?? []))
  }

  /// Cancels batches, as `cancel` does one, in their order and in one write.
  public func cancel(_ batches: [String]) async throws -> [Verdict] {
    try await each(batches, "cancel", [])
  }

  private func each(
    _ batches: [String], _ function: String, _ arguments: [RedisArgument]
  ) async throws -> [Verdict] {
    func calls(_ ids: ArraySlice<String>) -> [[RedisArgument]] {
      ids.map {
        ["FCALL", .text("batchd_\(function)"), 1, .text(keys.prefix), .text($0)] + arguments
      }
    }
    // The first alone: where the functions are missing, none of the others need fail for it.
    var replies = try await connection.callAll(calls(batches.prefix(1)))
    if case .error(let error)? = replies.first, RedisFunctionLibrary.isMissing(error) {
      _ = try await Queue.loadFunctions(on: connection)
      replies = try await connection.callAll(calls(batches.prefix(1)))
    }
    replies += try await connection.callAll(calls(batches.dropFirst()))
    return replies.map { reply in
      switch reply {
      case .error(let error) where Self.refusals.contains(error.serverCode):
        .refused(
          error.serverCode,
          message: String(error.message.dropFirst(error.serverCode.count + 1)))
      case .error(let error): .failed(error.isPassing ? error : QueueError(error))
      default: .done(reply.text ?? "")
      }
    }
  }
}
