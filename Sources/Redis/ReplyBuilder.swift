internal import CHiredis

/// Builds Swift values while hiredis parses, so that no tree of redisReply is made in between.
/// hiredis calls in the order of the wire, which makes one stack of unfinished arrays enough.
final class ReplyBuilder {
  private struct Unfinished {
    var elements: [RedisValue]
    let count: Int
  }

  private let replyBytes: Int
  private var unfinished: [Unfinished] = []
  private var finished: RedisValue?
  /// Bytes that the reply under way takes in memory; a bound on the wire's bytes alone would let
  /// 64 MiB of tiny elements become a gigabyte.
  private(set) var charged = 0
  /// Why building stopped; hiredis itself only knows "out of memory".
  private(set) var failure: RedisError?

  init(replyBytes: Int) { self.replyBytes = replyBytes }

  /// The finished reply, once; nil if hiredis finished something that was never built here.
  func take() -> RedisValue? {
    defer { finished = nil }
    charged = 0
    return unfinished.isEmpty ? finished : nil
  }

  /// Adds bytes to what the reply takes. False, with `failure` set, when that is too much.
  func charge(_ bytes: Int) -> Bool {
    let (sum, overflow) = charged.addingReportingOverflow(bytes)
    charged = sum
    if overflow || sum > replyBytes { failure = .replyTooLarge(replyBytes) }
    return failure == nil
  }

  func addText(type: Int32, _ bytes: UnsafeRawBufferPointer) -> Bool {
    guard charge(bytes.count) else { return false }
    switch type {
    case REDIS_REPLY_STRING: add(.bytes([UInt8](bytes)))
    case REDIS_REPLY_STATUS: add(.status(String(decoding: bytes, as: UTF8.self)))
    case REDIS_REPLY_ERROR:
      add(.error(RedisError(code: .server, message: String(decoding: bytes, as: UTF8.self))))
    default: return refuse("a reply of a type that RESP2 does not have")
    }
    return true
  }

  func beginArray(type: Int32, count: Int) -> Bool {
    guard type == REDIS_REPLY_ARRAY else {
      return refuse("a reply of a type that RESP2 does not have")
    }
    guard unfinished.count < RedisLimits.depth else {
      return refuse("a reply with more than \(RedisLimits.depth) arrays inside each other")
    }
    // Before a byte of it has come: a wrong count must not reserve memory.
    let size = count.multipliedReportingOverflow(by: MemoryLayout<RedisValue>.stride)
    guard charge(size.overflow ? Int.max : size.partialValue) else { return false }
    guard count > 0 else {
      add(.array([]))
      return true
    }
    var elements: [RedisValue] = []
    elements.reserveCapacity(count)
    unfinished.append(Unfinished(elements: elements, count: count))
    return true
  }

  func add(_ value: RedisValue) {
    var value = value
    while !unfinished.isEmpty {
      let top = unfinished.count - 1
      unfinished[top].elements.append(value)
      if unfinished[top].elements.count < unfinished[top].count { return }
      value = .array(unfinished.removeLast().elements)
    }
    finished = value
  }

  private func refuse(_ what: String) -> Bool {
    failure = RedisError(code: .protocolViolation, message: "Redis sent \(what)")
    return false
  }
}

extension RedisError {
  static func replyTooLarge(_ limit: Int) -> RedisError {
    RedisError(
      code: .replyTooLarge,
      message: "a reply exceeds \(limit) bytes; ask for less at once, or raise the limit")
  }
}
