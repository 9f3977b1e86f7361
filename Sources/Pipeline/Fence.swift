/// The number that comes with a lease and only grows: (epoch, counter). A write that carries an older
/// fence than the one on record is refused.
public struct Fence: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Grows whenever Redis may have forgotten something (restart, failover, restored backup).
  public let epoch: Int
  /// Grows with every claim, over all batches of one prefix.
  public let counter: Int

  public init(epoch: Int, counter: Int) {
    self.epoch = epoch
    self.counter = counter
  }

  /// Parses the form that Redis holds, `EPOCH-COUNTER`.
  public init?(_ text: Substring) {
    guard let dash = text.utf8.firstIndex(of: UInt8(ascii: "-")), let epoch = Int(text[..<dash]),
      let counter = Int(text[text.utf8.index(after: dash)...])
    else { return nil }
    self.init(epoch: epoch, counter: counter)
  }

  /// Parses the form that Redis holds, `EPOCH-COUNTER`.
  public init?(_ text: String) { self.init(text[...]) }

  public var description: String { "\(epoch)-\(counter)" }

  public static func < (left: Fence, right: Fence) -> Bool {
    (left.epoch, left.counter) < (right.epoch, right.counter)
  }
}
