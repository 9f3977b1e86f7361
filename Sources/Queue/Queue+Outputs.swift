public import Pipeline
internal import Redis

/// The data between stages: JSON text in `items:ID:STAGE` by item, and in `output:ID` by stage.
///
/// What is larger than a piece is kept in pieces, fields of `output:ID`, and in its place stands how many there are,
/// after a byte that begins no JSON: no call keeps Redis busy for long.
extension Queue {
  private static let pieceBytes = 1 << 20
  private static let pieceMark: UInt8 = 1
  /// Outputs of items that one reply holds, at first: as long as replies are small, more and more.
  private static let firstPage = 16
  private static let smallPageBytes = 1 << 18
  private static let largePageBytes = 4 << 20

  /// Keeps the pieces of an output too large for one call. Must come before the checkpoint or finish that names it.
  /// - Parameter item: nil for the stage's own output.
  /// - Returns: what stands in the output's place; nil when the lease was lost.
  /// - Throws: `QueueError` with code `.output` when the outputs of the batch would be too large together.
  public func keep(
    _ output: JSON, of item: String? = nil, under lease: Lease, now: Int? = nil
  ) async throws -> [UInt8]? {
    let bytes = output.bytes
    guard bytes.count > Self.pieceBytes else { return bytes }
    var count = 0
    for start in stride(from: 0, to: bytes.count, by: Self.pieceBytes) {
      let piece = bytes[start..<min(start + Self.pieceBytes, bytes.count)]
      let reply = try await call(
        "output",
        Self.identify(lease) + [.text(item ?? ""), .integer(count), .bytes(Array(piece))], now: now)
      guard try Self.state(reply, "batchd_output") == .held else { return nil }
      count += 1
    }
    return [Self.pieceMark] + "\(count)".utf8
  }

  /// The outputs of a batch's items in `stage`, by item id.
  public func outputs(of batch: String, stage: Stage) async throws -> [String: JSON] {
    let items = try await outputIDs(of: batch, stage: stage)
    var outputs: [String: JSON] = [:]
    var (start, count) = (0, Self.firstPage)
    while start < items.count {
      let page = Array(items[start..<min(start + count, items.count)])
      var bytes = 0
      for (item, output) in zip(page, try await self.outputs(of: batch, stage: stage, items: page))
      {
        guard let output else { continue }
        outputs[item] = try JSON(parsing: output)
        bytes += output.count
      }
      start += page.count
      if bytes < Self.smallPageBytes { count *= 2 }
      if bytes > Self.largePageBytes { count = max(count / 2, 1) }
    }
    return outputs
  }

  /// The items of a batch that have an output in `stage`, sorted: while nothing changes, every call answers alike.
  public func outputIDs(of batch: String, stage: Stage) async throws -> [String] {
    let reply = try await read(["HKEYS", .text(keys.items(batch, stage.rawValue))])
    guard let ids = reply.array else { throw QueueError.unreadable("HKEYS", reply) }
    return ids.compactMap(\.text).sorted()
  }

  /// The outputs of some items in `stage` as JSON text, in the order of `items`; nil where there is none. They come
  /// in one reply, so ask for few at a time.
  public func outputs(
    of batch: String, stage: Stage, items: [String]
  ) async throws -> [[UInt8]?] {
    let key = keys.items(batch, stage.rawValue)
    let reply = try await read(["HMGET", .text(key)] + items.map { .text($0) })
    guard let values = reply.array, values.count == items.count else {
      throw QueueError.unreadable("HMGET", reply)
    }
    var outputs: [[UInt8]?] = []
    for (item, value) in zip(items, values) {
      outputs.append(try await whole(value.bytes, of: item, batch, stage))
    }
    return outputs
  }

  /// The stage's own output of a batch; nil when it made none.
  public func output(of batch: String, stage: Stage) async throws -> JSON? {
    let reply = try await read(["HGET", .text(keys.output(batch)), .text(stage.rawValue)])
    return try await whole(reply.bytes, of: "", batch, stage).map { try JSON(parsing: $0) }
  }

  /// An output put together again, from what stands in its place.
  private func whole(
    _ value: [UInt8]?, of item: String, _ batch: String, _ stage: Stage
  ) async throws -> [UInt8]? {
    guard let value, value.first == Self.pieceMark else { return value }
    let count = Int(String(decoding: value.dropFirst(), as: UTF8.self)) ?? 0
    var bytes: [UInt8] = []
    for index in 0..<count {
      let field = "piece:\(stage.rawValue):\(index):\(item)"
      let reply = try await read(["HGET", .text(keys.output(batch)), .text(field)])
      guard let piece = reply.bytes else { throw QueueError.unreadable("HGET \(field)", reply) }
      bytes += piece
    }
    return bytes
  }
}
