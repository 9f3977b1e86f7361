internal import Foundation
internal import Pipeline
internal import Redis

/// One record of `batchd:rejected`: an entry that could not become a batch, with the reason.
public struct RejectedEntry: Sendable, Hashable, Encodable {
  /// From 0, the newest. It grows when another entry is rejected.
  public let position: Int
  /// RFC 3339 by Redis's clock.
  public let at: String
  /// Bytes of the entry as it came.
  public let bytes: Int
  /// Whether all of it was kept; of a very large one only the beginning is.
  public let isWhole: Bool
  public let reason: String
  /// The entry; wrong UTF-8 shows as U+FFFD.
  public let entry: String
  /// The very bytes, for an entry with wrong UTF-8.
  public let entryBase64: String?
  /// The very bytes.
  public let raw: [UInt8]
  /// As Redis holds it.
  let record: [UInt8]

  private enum CodingKeys: CodingKey {
    case position, at, bytes, isWhole, reason, entry, entryBase64
  }

  /// Reads `AT BYTES whole|cut REASON`, a line feed and the raw entry, as lifecycle.lua writes them.
  init?(_ position: Int, _ record: [UInt8]) {
    let head = record.prefix { $0 != UInt8(ascii: "\n") }
    let words = String(decoding: head, as: UTF8.self)
      .split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
    guard words.count == 4, let bytes = Int(words[1]) else { return nil }
    self.position = position
    at = String(words[0])
    self.bytes = bytes
    isWhole = words[2] == "whole"
    reason = String(words[3])
    raw = Array(record.dropFirst(head.count + 1))
    entry = String(decoding: raw, as: UTF8.self)
    entryBase64 = Array(entry.utf8) == raw ? nil : Data(raw).base64EncodedString()
    self.record = record
  }
}

extension Control {
  /// The newest `limit` rejected entries, newest first.
  public func rejected(limit: Int) async throws -> [RejectedEntry] {
    let reply = try await read([["LRANGE", .text(keys.rejected), 0, .integer(limit - 1)]])[0]
    return (reply.array ?? []).enumerated().compactMap { position, record in
      record.bytes.flatMap { RejectedEntry(position, $0) }
    }
  }

  /// The rejected entry at a position.
  /// - Throws: `QueueError` (`notFound`).
  public func rejected(at position: Int) async throws -> RejectedEntry {
    let replies = try await read([
      ["LINDEX", .text(keys.rejected), .integer(position)], ["LLEN", .text(keys.rejected)],
    ])
    guard let record = replies[0].bytes, let entry = RejectedEntry(position, record) else {
      throw QueueError(
        .notFound,
        "NOTFOUND no rejected entry at position \(position); there are \(replies[1].integer ?? 0), the newest at 0"
      )
    }
    return entry
  }

  /// The rejected entry of that moment, which stays the same while positions move on.
  /// - Parameter time: RFC 3339, as `RejectedEntry.at` has it.
  /// - Throws: `QueueError` (`notFound`, `badArgument`) when there is none, or more than one.
  public func rejected(atTime time: String) async throws -> RejectedEntry {
    var found: [RejectedEntry] = []
    var position = 0
    while true {
      let reply = try await read([
        [
          "LRANGE", .text(keys.rejected), .integer(position),
          .integer(position + Self.rejectedStep - 1),
        ]
      ])[0]
      let records = (reply.array ?? []).compactMap(\.bytes)
      for (at, record) in records.enumerated() where record.starts(with: time.utf8) {
        guard let entry = RejectedEntry(position + at, record), entry.at == time,
          found.last?.record != record
        else { continue }
        found.append(entry)
      }
      guard records.count == Self.rejectedStep else { break }
      position += Self.rejectedStep
    }
    guard let entry = found.first else {
      throw QueueError(.notFound, "NOTFOUND no entry was rejected at \(time)")
    }
    guard found.count == 1 else {
      throw QueueError(
        .badArgument, "BADARG \(found.count) entries were rejected at \(time): name a position")
    }
    return entry
  }

  private static let rejectedStep = 100

  /// Where the entry is now: positions move on when another one is rejected.
  /// - Throws: `QueueError` (`notFound`) when somebody has re-entered or dropped it.
  public func position(of entry: RejectedEntry) async throws -> Int {
    let reply = try await read([["LPOS", .text(keys.rejected), .bytes(entry.record)]])[0]
    guard let position = reply.integer else {
      throw QueueError(.notFound, "NOTFOUND the entry of \(entry.at) is not rejected any more")
    }
    return position
  }
}
