import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// Lists, zsets and counts that say what no batch says: leases without batches, batches without leases, lanes whose holder
/// is gone, ids in several places. tick puts all of it right, and nobody is failed for it.
@Suite struct HostileEntriesTests {
  private static let huge = String(repeating: "x", count: 100_000)

  /// `#` is the number of the round.
  private static let broken: [(String, [[String]])] = [
    (
      "a lease without a batch",
      [["ZADD", "batchd:leases", "1", "ghost"], ["ZADD", "batchd:leases", "inf", "never"]]
    ),
    (
      "a delay without a batch",
      [["ZADD", "batchd:delayed", "1", "ghost"], ["ZADD", "batchd:delayed", "inf", "never"]]
    ),
    ("a batch without a lease", [["ZREM", "batchd:leases", "leased#"]]),
    ("a batch without a delay", [["ZREM", "batchd:delayed", "delayed#"]]),
    ("a lease that never ends", [["ZADD", "batchd:leases", "inf", "leased#"]]),
    ("a delay that never ends", [["ZADD", "batchd:delayed", "9e18", "delayed#"]]),
    ("a batch that left its list", [["LREM", "batchd:queue:demo:extraction", "0", "queued#"]]),
    ("a lane that lost its waiters", [["DEL", "batchd:lane:demo:a"]]),
    ("a lane that nobody holds", [["HDEL", "batchd:lanes", "demo:a"]]),
    ("a lane whose holder is gone", [["HSET", "batchd:lanes", "demo:a", "nobody"]]),
    ("a lane whose holder is of another", [["HSET", "batchd:lanes", "demo:a", "leased#"]]),
    (
      "ids in several lists",
      [
        ["RPUSH", "batchd:queue:demo:validation", "queued#", "leased#", "delayed#", "waits#"],
        ["RPUSH", "batchd:suspects:demo:extraction", "queued#", "leased#", "waits#"],
        ["RPUSH", "batchd:lane:demo:a", "queued#", "waits#", "leased#"],
        ["ZADD", "batchd:leases", "1", "queued#", "1", "waits#"],
        ["ZADD", "batchd:delayed", "1", "queued#", "1", "leased#"],
      ]
    ),
    (
      "ids that are none",
      [
        ["RPUSH", "batchd:queue:demo:extraction", "a\0b", huge, ""],
        ["RPUSH", "batchd:lane:demo:a", "a\0b", huge, ""],
        ["ZADD", "batchd:leases", "1", "a\0b", "1", huge, "2", ""],
        ["ZADD", "batchd:delayed", "1", "a\0b", "1", huge, "2", ""],
        ["HSET", "batchd:lanes", "a\0b", "a\0b", huge, huge],
        ["ZADD", "batchd:operations", "1", "a\0b", "1", huge],
        ["RPUSH", "batchd:members:o#", "a\0b", huge, ""],
        ["SADD", "batchd:paused", "a\0b", huge],
        ["ZADD", "batchd:workers", "1", "a\0b", "inf", huge],
      ]
    ),
    (
      "counts that are not those of the batches",
      [["HSET", "batchd:progress:o#", "processing", "99", "total", "-7", "items_done", "1e9"]]
    ),
    ("counts that are gone", [["DEL", "batchd:progress:o#"]]),
  ]

  @Test func eachIsPutRightAndAllComplete() async throws {
    var hostile = try await HostileBench()
    for (what, commands) in Self.broken {
      try await hostile.seed()
      for command in commands {
        let words = command.map { RedisArgument.text(hostile.named($0)) }
        _ = try await hostile.bench.queue.client.call(words)
      }
      try await hostile.admitGood()
      let operation = hostile.named("o#")
      let isOver = try await hostile.work(
        until: [hostile.named("good#"), operation], victims: true)
      let (sum, total, fields) = try await hostile.counts(operation)
      #expect(isOver, "\(what): \(fields)")
      #expect(sum == 4 && total == 4 && fields["failed"] == "0", "\(what): \(fields)")
      for victim in HostileBench.victims {
        let status = try await hostile.redis("HGET", "batchd:batch:\(victim)#", "status").text
        #expect(status?.hasPrefix("completed") == true, "\(what): \(victim) is \(status ?? "gone")")
      }
      // What was put there by hand has left, too: the walk passes every entry within a few ticks.
      _ = try await hostile.work(until: ["nothing"])
      for key in ["leases", "delayed"] {
        let left = try await hostile.redis("ZCARD", "batchd:\(key)").integer
        #expect(left == 0, "\(what): \(key) has \(left ?? -1)")
      }
      #expect(try await hostile.redis("HLEN", "batchd:lanes").integer == 0, "\(what)")
    }
    print("hostile entries: \(Self.broken.count) kinds put right")
  }
}
