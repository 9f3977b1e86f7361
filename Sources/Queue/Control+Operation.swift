internal import Redis

/// One bounded look at what an operation waits for.
extension Control {
  private enum Bound {
    static let inTheWay = 5
    static let members = 20_000
    static let membersPerPage = 1_000
    static let failed = 5
  }

  /// Why the operation is not finished; nil when Redis does not know it.
  public func explain(operation: String) async throws -> OperationExplanation? {
    let replies = try await read([
      ["TIME"], ["HGETALL", .text(keys.progress(operation))], ["LLEN", .text(keys.enqueue)],
      ["SMEMBERS", .text(keys.paused)],
    ])
    guard let progress = OperationProgress(operation, replies[1].fields) else { return nil }
    var found = OperationExplanation(progress: progress, takenAt: Self.milliseconds(replies[0]))
    found.workers = try await workerCount()
    found.missing = max((progress.size ?? 0) - progress.total, 0)
    if progress.failed > 0 {
      var filter = BatchFilter()
      filter.operation = operation
      found.failed = try await failed(filter, limit: Bound.failed)
    }
    found.rejections = try await rejections(naming: operation)
    guard !progress.isFinished else { return found }
    found.enqueued = replies[2].integer ?? 0
    found.inTheWay = try await living(in: operation)
    found.paused = replies[3].texts.filter { what in
      found.inTheWay.contains { Self.concerns(what, $0.batch) }
    }.sorted()
    return found
  }

  private func living(in operation: String) async throws -> [Explanation.Neighbour] {
    // A batch that bears the operation's name stands in no list.
    var found = try await living(among: [operation], in: operation)
    for from in stride(from: 0, to: Bound.members, by: Bound.membersPerPage) {
      let members = try await read([
        [
          "LRANGE", .text(keys.members(operation)), .integer(from),
          .integer(from + Bound.membersPerPage - 1),
        ]
      ])[0].texts
      found += try await living(among: members, in: operation)
      if found.count >= Bound.inTheWay || members.count < Bound.membersPerPage { break }
    }
    return try await neighbours(Array(found.prefix(Bound.inTheWay)))
  }

  private func living(among ids: [String], in operation: String) async throws -> [String] {
    let replies = try await read(
      ids.map { ["HMGET", .text(keys.batch($0)), "status", "operation"] })
    return zip(ids, replies).compactMap { id, reply in
      let fields = reply.array?.map { $0.text ?? "" } ?? []
      return BatchState.isLiving(fields.first ?? "") && fields.last == operation ? id : nil
    }
  }

  /// Redis's clock, in Unix milliseconds.
  public func time() async throws -> Int { Self.milliseconds(try await read([["TIME"]])[0]) }

  /// Up to `limit` failed batches that the filter fits, the newest first; only the last 20,000 are looked at.
  public func failed(_ filter: BatchFilter, limit: Int) async throws -> [BatchState] {
    var found: [BatchState] = []
    let step = 200
    for from in stride(from: 0, to: Bound.members, by: step) {
      let ids = try await read([
        ["ZRANGE", .text(keys.failed), .integer(from), .integer(from + step - 1), "REV"]
      ])[0].texts
      // Whoever had its record deleted by hand is not failed any more, but not yet off the list.
      found += try await batches(ids).compactMap { $0 }.filter {
        $0.status == "failed" && filter.fits($0)
      }
      if found.count >= limit || ids.count < step { break }
    }
    return Array(found.prefix(limit))
  }
}
