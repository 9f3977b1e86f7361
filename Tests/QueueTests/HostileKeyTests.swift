import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// A key of the wrong type: it is set aside by whoever touches it, and everybody goes on.
@Suite struct HostileKeyTests {
  /// Every key of the contract and of batchd's own, with its type. `#` is the number of the round.
  static let keys: [(String, String)] = [
    ("enqueue", "list"), ("delayed", "zset"), ("leases", "zset"), ("failed", "zset"),
    ("lanes", "hash"), ("rejected", "list"), ("paused", "set"), ("operations", "zset"),
    ("workers", "zset"), ("pipelines", "hash"), ("store", "hash"), ("meta", "hash"),
    ("stats", "hash"), ("events", "stream"), ("ended", "stream"), ("departed", "zset"),
    ("cancelling", "set"), ("gone", "hash"), ("lane:demo:a", "list"), ("gate:g", "hash"),
    ("worker:w1", "hash"), ("progress:o#", "hash"), ("progress:o#:a", "hash"),
    ("batch:queued#", "hash"), ("batch:waits#", "hash"), ("batch:delayed#", "hash"),
    ("batch:leased#", "hash"), ("errors:leased#", "hash"), ("input:queued#", "string"),
    ("output:leased#", "hash"), ("items:leased#:extraction", "hash"), ("members:o#", "list"),
    ("accounts:o#", "set"), ("queue:demo:extraction", "list"), ("queue:demo:validation", "list"),
    ("suspects:demo:extraction", "list"), ("intake:w1:enqueue", "list"),
    ("intake:w1:demo:extraction", "list"), ("claimed:w1:demo:extraction", "string"),
  ]

  static let writes: [(String, [String])] = [
    ("string", ["SET", "", "x"]), ("list", ["RPUSH", "", "x"]), ("hash", ["HSET", "", "x", "y"]),
    ("set", ["SADD", "", "x"]), ("zset", ["ZADD", "", "1", "x"]),
    ("stream", ["XADD", "", "*", "x", "y"]),
  ]

  @Test func everyKeyOfEveryOtherTypeStopsNobody() async throws {
    var hostile = try await HostileBench()
    var cases = 0
    for (key, type) in Self.keys {
      for (wrong, write) in Self.writes where wrong != type {
        cases += 1
        try await hostile.seed()
        let what = hostile.named("\(key) as \(wrong)")
        let full = "batchd:\(hostile.named(key))"
        try await hostile.redis("DEL", full)
        _ = try await hostile.bench.queue.client.call(
          write.map { .text($0.isEmpty ? full : $0) })
        do {
          try await Self.expectEverybodyEnds(&hostile, key, what)
          // Whoever did not touch it until now does so on the way.
          let doctor = try await hostile.bench.fcall("doctor", ["1", 1, .text(full), ""])
          let found = try await hostile.redis("TYPE", full).text
          #expect(
            [type, "none"].contains(found), "\(what): it is a \(found ?? "") still, \(doctor)")
          let aside = try await hostile.redis("TYPE", "batchd:aside:\(key)").text
          #expect(aside == wrong, "\(what) is not aside")
        } catch {
          Issue.record("\(what): \(error)")
          hostile = try await HostileBench()
        }
      }
    }
    #expect(cases == 5 * Self.keys.count)
    print("hostile types: \(cases) of (key, type) repaired")
  }

  private static func expectEverybodyEnds(
    _ hostile: inout HostileBench, _ key: String, _ what: String
  ) async throws {
    try await hostile.admitGood()
    let operation = hostile.named("o#")
    let good = hostile.named("good#")
    let isOver = try await hostile.work(until: [good, operation])
    let (sum, total, fields) = try await hostile.counts(operation)
    #expect(isOver, "\(what): \(fields)")
    #expect(try await hostile.bench.field("progress:\(good)", "status") == "completed", "\(what)")
    #expect(sum == total && total == 4, "\(what): \(fields)")
    for victim in HostileBench.victims {
      let status = try await hostile.redis("HGET", "batchd:batch:\(victim)#", "status").text
      let ended = ["completed", "completed_with_errors"].contains(status)
      // A record that was destroyed counts as failed; nobody else may.
      let isDestroyed = key == "batch:\(victim)#"
      #expect(ended != isDestroyed, "\(what): \(victim) is \(status ?? "gone")")
    }
    let broken = try await hostile.redis("HGET", "batchd:stats", "broken").text
    if key != "stats" { #expect((broken.flatMap { Int($0) } ?? 0) > 0, "\(what)") }
  }
}
