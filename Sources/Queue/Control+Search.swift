internal import Pipeline
internal import Redis

/// Finding what bears a name where nothing is ordered by names: backwards, and not for ever.
extension Control {
  private enum Bound {
    static let events = 10_000
    static let eventsPerPage = 500
    static let entries = 2_000
    static let entriesPerPage = 20
    static let entryBytes = 32 << 20
  }

  /// The last `limit` changes of a batch's present life, oldest first.
  /// - Parameter since: when that began, RFC 3339.
  func changes(of batch: String, since: String?, limit: Int) async throws -> [StateChange] {
    var found: [StateChange] = []
    var from = "+"
    for _ in 0..<Bound.events / Bound.eventsPerPage {
      let page =
        try await read([
          [
            "XREVRANGE", .text(keys.events), .text(from), "-", "COUNT",
            .integer(Bound.eventsPerPage),
          ]
        ])[0].array ?? []
      let changes = page.flatMap { StateChange.all($0).reversed() }
      for change in changes where change.batch == batch && change.at ?? "~" >= since ?? "" {
        found.append(change)
        if found.count == limit { return found.reversed() }
      }
      let isOver = changes.last.map { $0.at ?? "~" < since ?? "" } ?? true
      guard page.count == Bound.eventsPerPage, !isOver, let last = changes.last else { break }
      from = "(\(last.id)"
    }
    return found.reversed()
  }

  /// Looks for what is no batch: an entry that waits to be admitted, or one that was rejected.
  func search(for found: inout Explanation) async throws {
    let record = found.batch
    found.batch = nil
    var looked = 0
    if let (place, ahead) = try await waitingEntry(found.id, &looked) {
      found.whereabouts = .enqueued
      found.place = place
      found.ahead = ahead
      return
    }
    let entry = try await rejections(naming: found.id).first
    if let record {
      found.rejection = .init(
        position: entry?.position, at: record.finishedAt, reason: record.error ?? "")
    } else {
      found.rejection = entry
    }
    if found.rejection != nil {
      found.whereabouts = .rejected
      found.place = keys.rejected
    } else {
      let length = try await read([["LLEN", .text(keys.enqueue)]])[0].integer ?? 0
      found.unseenEntries = max(length - looked, 0)
    }
  }

  /// The entry of that batch or operation among those that will be admitted next.
  /// - Parameter looked: how many of `batchd:enqueue` were searched.
  private func waitingEntry(
    _ id: String, _ looked: inout Int
  ) async throws -> (place: String, ahead: Int)? {
    // What a worker has taken comes first; which ones there are only their names tell.
    let workers = try await read([["ZRANGE", .text(keys.workers), 0, 999]])[0].texts
    var ahead = 0
    for list in workers.map({ keys.intake($0) }) + [keys.enqueue] {
      var bytes = 0
      looked = 0
      for from in stride(from: 0, to: Bound.entries, by: Bound.entriesPerPage) {
        let page =
          try await read([
            ["LRANGE", .text(list), .integer(-from - Bound.entriesPerPage), .integer(-from - 1)]
          ])[0].array?.compactMap(\.bytes) ?? []
        for entry in page.reversed() {
          if Self.isEntry(entry, of: id) { return (list, ahead) }
          ahead += 1
          looked += 1
          bytes += entry.count
        }
        if page.count < Bound.entriesPerPage || bytes > Bound.entryBytes { break }
      }
    }
    return nil
  }

  private static func isEntry(_ bytes: [UInt8], of id: String) -> Bool {
    // Most are others, and to parse costs more.
    guard String(decoding: bytes, as: UTF8.self).contains(id), let json = try? JSON(parsing: bytes)
    else { return false }
    return names(id, json["id"]) || names(id, json["operation"])
  }

  private static func names(_ name: String, _ value: JSON?) -> Bool {
    switch value {
    case .string(let text)?: text == name
    case .integer(let number)?: "\(number)" == name
    default: false
    }
  }

  /// Rejected entries that name a batch, or an operation; the newest first. Of what is no JSON the words decide.
  func rejections(naming name: String) async throws -> [Explanation.Rejection] {
    var found: [Explanation.Rejection] = []
    var bytes = 0
    for from in stride(from: 0, to: Bound.entries, by: Bound.entriesPerPage) {
      let page =
        try await read([
          [
            "LRANGE", .text(keys.rejected), .integer(from),
            .integer(from + Bound.entriesPerPage - 1),
          ]
        ])[0].array?.compactMap(\.bytes) ?? []
      for (at, record) in page.enumerated() {
        bytes += record.count
        guard let entry = RejectedEntry(from + at, record), entry.entry.contains(name) else {
          continue
        }
        let json = try? JSON(parsing: Array(entry.entry.utf8))
        let isNamed =
          json.map { Self.names(name, $0["id"]) || Self.names(name, $0["operation"]) }
          ?? entry.entry.contains("\"\(name)\"")
        guard isNamed else { continue }
        found.append(.init(position: entry.position, at: entry.at, reason: entry.reason))
      }
      if page.count < Bound.entriesPerPage || bytes > Bound.entryBytes { break }
    }
    return found
  }
}
