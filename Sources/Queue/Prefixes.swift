/// The prefixes over which a fleet spreads its accounts, each a queue of its own, perhaps on a primary of its own. No
/// function spans two of them: whatever is counted over all workers for an account is counted under its home.
public struct Prefixes: Sendable, Hashable {
  /// At least one, none twice. Their order is part of the hash: all workers and commands must be given the same.
  public let names: [String]

  /// - Parameter names: as `Keys` takes them.
  public init(_ names: [String]) {
    precondition(!names.isEmpty && Set(names).count == names.count)
    self.names = names
  }

  /// Where an account's batches, lanes and gates are: the CRC16 of its name, all 16 bits, modulo the number of prefixes,
  /// counted from 0. (Not the slot that CLUSTER KEYSLOT answers, which is its remainder by 16384.)
  /// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#appendix>
  public func home(of account: String) -> String {
    names.count == 1 ? names[0] : names[Int(Self.hash(account.utf8)) % names.count]
  }

  /// Where a gate is, over all prefixes: `NAME:ACCOUNT` with its account, `NAME` by its own hash.
  public func home(ofGate name: String) -> String {
    home(of: name.lastIndex(of: ":").map { String(name[$0...].dropFirst()) } ?? name)
  }

  /// CRC-16/XMODEM: polynomial 0x1021, from 0, not reflected.
  static func hash(_ bytes: some Sequence<UInt8>) -> UInt16 {
    bytes.reduce(0) { hash, byte in
      (0..<8).reduce(hash ^ UInt16(byte) << 8) { hash, _ in
        hash & 0x8000 == 0 ? hash << 1 : hash << 1 ^ 0x1021
      }
    }
  }
}
