internal import Redis

/// Looking at every record under the prefix: in small steps, for Redis has other work. A function looks at each record and
/// mends it in one step, so workers may run meanwhile.
extension Control {
  /// What a walk over all records saw.
  public struct Inspection: Sendable, Encodable {
    /// Keys that were looked at.
    public internal(set) var keys = 0
    /// Keys of the wrong type that were moved to `batchd:aside:…`, where they stay for 30 days.
    public internal(set) var aside = 0
    public var findings: [Finding] = []

    /// Nothing seen yet.
    public init() {}
  }

  private static let step = 100
  private static let mostWalks = 5

  /// Looks at every key under the prefix and at every entry of `leases`, `delayed` and `lanes`.
  /// - Parameters:
  ///   - repair: whether to apply each remedy; otherwise nothing is written.
  ///   - progress: told after each step how many keys were looked at.
  public func inspect(
    repair: Bool, progress: (Int) -> Void = { _ in }
  ) async throws -> Inspection {
    var seen = try await walk(repair: repair, progress)
    var last = seen.findings
    var walks = 1
    // A remedy may show what was behind it: a second fault of the record, or another record's.
    while walks < Self.mostWalks, last.contains(where: \.isRepaired) {
      let again = try await walk(repair: repair, progress)
      walks += 1
      last = again.findings
      let repaired = seen.findings.filter(\.isRepaired)
      seen = again
      seen.findings = Self.distinct(repaired + last)
    }
    return seen
  }

  private func walk(repair: Bool, _ progress: (Int) -> Void) async throws -> Inspection {
    var seen = Inspection()
    let aside = Array("\(keys.prefix):aside:".utf8)
    try await pages(["SCAN"], ["MATCH", .text("\(keys.prefix):*")], step: Self.step) { page in
      let names = page.compactMap(\.bytes)
      let found = names.filter { !$0.starts(with: aside) }
      seen.aside += names.count - found.count
      seen.keys += found.count
      progress(seen.keys)
      seen.findings += try await look(at: found.map { ($0, []) }, repair: repair)
    }
    for (command, key) in [("ZSCAN", keys.leases), ("ZSCAN", keys.delayed), ("HSCAN", keys.lanes)] {
      // A key of the wrong type was found above.
      let type = try await read([["TYPE", .text(key)]])[0].text
      guard type == (command == "ZSCAN" ? "zset" : "hash") else { continue }
      try await pages([.text(command), .text(key)], [], step: Self.step) { page in
        let members = stride(from: 0, to: page.count - 1, by: 2).compactMap { page[$0].bytes }
        seen.findings += try await look(at: members.map { (Array(key.utf8), $0) }, repair: repair)
      }
    }
    // A walk may meet a key twice.
    seen.findings = Self.distinct(seen.findings)
    return seen
  }

  private static func distinct(_ findings: [Finding]) -> [Finding] {
    var met: Set<Finding> = []
    return findings.filter { met.insert($0).inserted }
  }

  private func look(at entries: [(key: [UInt8], member: [UInt8])], repair: Bool) async throws
    -> [Finding]
  {
    var findings: [Finding] = []
    for start in stride(from: 0, to: entries.count, by: Self.step) {
      let some = entries[start..<min(start + Self.step, entries.count)]
      let reply = try await call(
        "doctor",
        [.text(repair ? "1" : ""), .integer(some.count)]
          + some.flatMap { [.bytes($0.key), .bytes($0.member)] })
      for found in reply.array ?? [] {
        let parts = found.texts
        guard parts.count == 5 else { throw QueueError.unreadable("batchd_doctor", reply) }
        findings.append(
          Finding(
            parts[0], member: parts[1], parts[2], remedy: parts[3], isRepaired: parts[4] == "1"))
      }
    }
    return findings
  }
}
