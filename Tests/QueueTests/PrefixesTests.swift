import Pipeline
import Testing

@testable import Queue

/// Where accounts and gates are at home. The hash is public: producers may compute it, in Python as
/// `binascii.crc_hqx(account.encode(), 0) % len(prefixes)`.
@Suite struct PrefixesTests {
  /// By Python's crc_hqx.
  static let known: [(String, UInt16)] = [
    ("123456789", 12_739), ("acme", 44_072), ("bolt", 29_620), ("cobra", 40_325), ("delta", 9_053),
    ("A1.b_c-2", 48_478), (String(repeating: "x", count: 128), 33_239), ("", 0),
  ]

  @Test(arguments: known) func theHashIsThatOfRedisCluster(text: String, hash: UInt16) {
    #expect(Prefixes.hash(text.utf8) == hash)
  }

  @Test func anAccountHasOneHomeAndItsGatesAreThere() {
    let three = Prefixes(["{a}", "{b}", "{c}"])
    #expect(
      ["acme", "bolt", "cobra", "delta"].map { three.home(of: $0) } == ["{c}", "{b}", "{c}", "{c}"])
    #expect(three.home(ofGate: "workiz:acme") == "{c}")
    #expect(three.home(ofGate: "bolt") == three.home(of: "bolt"))
    #expect(Prefixes(["batchd"]).home(of: "acme") == "batchd")
  }

  @Test func accountsAreSpreadEvenly() {
    let prefixes = Prefixes(["{a}", "{b}", "{c}", "{d}"])
    let homes = (1...4_000).map { prefixes.home(of: "account-\($0)") }
    for name in prefixes.names {
      #expect((900...1_100).contains(homes.count { $0 == name }))
    }
  }
}
