/// The pauses between attempts to connect: doubling, capped, and jittered so that a hundred workers
/// do not come back in the same millisecond.
struct Backoff {
  static let firstMilliseconds = 50
  static let capMilliseconds = 1_000

  private var attempts = 0

  /// A connection that lived this long was a success; one that ended sooner counts as a failure,
  /// or a peer that accepts and hangs up would be asked in a tight loop.
  static let successSeconds: Int64 = 5

  mutating func reset() { attempts = 0 }

  /// The next pause in milliseconds: half of it fixed, half of it chance.
  mutating func next() -> Int {
    let full = min(Self.firstMilliseconds << min(attempts, 16), Self.capMilliseconds)
    attempts += 1
    return full / 2 + Int.random(in: 0...full / 2)
  }
}
