@testable import Redis

/// Replies do not depend on how the network cuts them. The first byte decides over the cuts.
func checkReplies(_ input: [UInt8]) throws {
  guard let seed = input.first else { return }
  let wire = Array(input.dropFirst())
  let whole = readReplies(wire) { _ in wire.count }
  var state = UInt32(seed)
  let pieces = readReplies(wire) { _ in
    // A linear congruential generator: only the sizes' variety matters.
    state = state &* 1_664_525 &+ 1_013_904_223
    return 1 + Int(state >> 24) % (seed < 128 ? 3 : 40)
  }
  try demand(whole == pieces, "at once \(whole), in pieces \(pieces)")
}

private struct Replies: Equatable {
  var values: [RedisValue] = []
  var failure: RedisError.Code?
}

private func readReplies(_ wire: [UInt8], size: (Int) -> Int) -> Replies {
  let reader = ReplyReader(replyBytes: 1 << 16)
  var replies = Replies()
  var start = 0
  do {
    while start < wire.count {
      let end = min(start + size(start), wire.count)
      try wire[start..<end].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws -> Void in
        try reader.read(bytes) { replies.values.append($0) }
      }
      start = end
    }
  } catch {
    replies.failure = (error as? RedisError)?.code
  }
  return replies
}
