internal import CHiredis

/// Turns bytes into replies with hiredis's reader. After it threw, the connection is of no use.
final class ReplyReader {
  private let reader: UnsafeMutablePointer<redisReader>
  private let builder: ReplyBuilder
  private let replyBytes: Int

  /// hiredis moves what it has not parsed yet to the front once for every KiB: small pieces keep
  /// that cheap.
  private static let pieceBytes = 16 << 10

  init(replyBytes: Int) {
    self.replyBytes = replyBytes
    builder = ReplyBuilder(replyBytes: replyBytes)
    guard let reader = redisReaderCreateWithFunctions(ObjectFunctions.table) else {
      fatalError("out of memory while making a hiredis reader")
    }
    self.reader = reader
    reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    // An empty buffer above this size is freed; ours grows to two pieces in normal use.
    reader.pointee.maxbuf = 4 * Self.pieceBytes
  }

  deinit { redisReaderFree(reader) }

  /// Feeds bytes and hands each reply that they complete to `body`, in order. Throws
  /// `protocolViolation` or `replyTooLarge`.
  func read(_ bytes: UnsafeRawBufferPointer, _ body: (RedisValue) -> Void) throws(RedisError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.pieceBytes))
      rest = rest.dropFirst(piece.count)
      guard
        redisReaderFeed(
          reader, piece.baseAddress!.assumingMemoryBound(to: CChar.self), piece.count) == REDIS_OK
      else { throw failure() }
      while let value = try next() { body(value) }
      let unparsed = Int(reader.pointee.len) - Int(reader.pointee.pos)
      if builder.charged + unparsed > replyBytes { throw .replyTooLarge(replyBytes) }
    }
  }

  private func next() throws(RedisError) -> RedisValue? {
    var object: UnsafeMutableRawPointer?
    guard redisReaderGetReply(reader, &object) == REDIS_OK else { throw failure() }
    guard object != nil else { return nil }
    guard let value = builder.take() else {
      // hiredis 1.x parses types of RESP3 for which there is no function in our table.
      throw RedisError(
        code: .protocolViolation,
        message: "Redis sent a reply of a type that RESP2 does not have")
    }
    return value
  }

  private func failure() -> RedisError {
    if let failure = builder.failure { return failure }
    let text = withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return RedisError(
      code: .protocolViolation,
      message: "the peer does not speak Redis's protocol (\(text)); check host and port")
  }
}

/// hiredis's table of callbacks, set field by field: 1.x has two more in the middle, and counts an
/// array in `size_t` where 0.14 has `int`.
private enum ObjectFunctions {
  /// hiredis keeps the pointer for as long as a reader lives.
  nonisolated(unsafe) static let table: UnsafeMutablePointer<redisReplyObjectFunctions> = {
    let table = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
    var functions = redisReplyObjectFunctions()
    functions.createString = { task, text, count in
      object(builder(task).addText(type: task!.pointee.type, .init(start: text, count: count)))
    }
    functions.createArray = { task, count in
      object(builder(task).beginArray(type: task!.pointee.type, count: Int(count)))
    }
    functions.createInteger = { task, value in
      builder(task).add(.integer(Int(value)))
      return object(true)
    }
    functions.createNil = { task in
      builder(task).add(.null)
      return object(true)
    }
    functions.freeObject = { _ in }
    table.initialize(to: functions)
    return table
  }()

  private static func builder(_ task: UnsafePointer<redisReadTask>?) -> ReplyBuilder {
    Unmanaged.fromOpaque(task!.pointee.privdata).takeUnretainedValue()
  }

  /// The values live in the builder; hiredis only asks whether there was an object.
  private static func object(_ made: Bool) -> UnsafeMutableRawPointer? {
    made ? UnsafeMutableRawPointer(bitPattern: 1) : nil
  }
}
