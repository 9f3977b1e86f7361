import Foundation
import TestSupport
import Testing

/// What anybody may have written into Redis where a number belongs: no command that only looks may stop because of it.
@Suite struct HostileNumberTests {
  private static let most = "9223372036854775807"
  private static let least = "-9223372036854775808"

  private static let writes: [[String]] = [
    ["ZADD", "batchd:leases", "inf", "b1", "1e300", "b2", "-inf", "b3"],
    ["ZADD", "batchd:departed", "inf", "w2", "-1e300", "w3"],
    ["ZADD", "batchd:workers", "-9.2e18", "w1", "inf", "w4"],
    ["ZADD", "batchd:delayed", "-9.2e18", "b4", "inf", "b5"],
    ["ZADD", "batchd:operations", "1", "op", "2", "odd"],
    ["HSET", "batchd:gate:g", "interval", most, "next_ms", most, "reason", "429"],
    ["HSET", "batchd:gate:workiz:a", "interval", least, "next_ms", least],
    ["HSET", "batchd:worker:w1", "slots", most, "running", least, "finished", most, "host", "h"],
    ["HSET", "batchd:worker:w2", "slots", "1e9", "beat_at", "0001-01-01T00:00:00Z"],
    ["HSET", "batchd:progress:op", "status", "processing", "size", most, "total", least],
    ["HSET", "batchd:progress:op", "items_total", most, "items_done", most, "items_failed", most],
    ["HSET", "batchd:progress:op:a", "ended", least, "total_batches", most, "current_batch", most],
    ["HSET", "batchd:progress:odd", "status", "processing", "pending", least, "failed", most],
    ["SADD", "batchd:accounts:op", "a"], ["RPUSH", "batchd:members:op", "b1", "b2", "b4"],
    ["HSET", "batchd:stats", "completed", most, "failed", least],
    ["HSET", "batchd:lanes", "workiz:a", "b1"], ["RPUSH", "batchd:lane:workiz:a", "b2"],
  ]

  @Test(.timeLimit(.minutes(1))) func noNumberStopsWhoOnlyLooks() async throws {
    let harness = try await CommandHarness()
    for write in Self.writes { _ = try await harness.redis.cli(write) }
    for (at, place) in ["leases", "leases", "leases", "delayed", "delayed"].enumerated() {
      _ = try await harness.redis.cli([
        "HSET", "batchd:batch:b\(at + 1)", "status", at < 3 ? "processing" : "retrying", "place",
        "batchd:\(place)", "worker", "w1", "operation", "op", "account", "a", "pipeline", "workiz",
        "stage", "extraction", "run", Self.most, "attempt", Self.least, "number", Self.most,
        "items_total", Self.most, "items_done", Self.most, "items_failed", Self.most,
      ])
    }
    _ = try await harness.redis.cli(["HSET", "batchd:batch:end", "status", "failed"])
    _ = try await harness.redis.cli(["PEXPIREAT", "batchd:batch:end", "9223372036854775"])
    _ = try await harness.redis.cli(["ZADD", "batchd:failed", "inf", "end"])
    for words in [
      "status", "workers", "workers w1", "workers w2", "metrics", "failed", "doctor", "rejected",
      "explain b1", "explain b2", "explain b4", "explain end", "explain operation:op",
      "explain operation:odd", "cancel operation:op --dry-run", "retry account:a",
    ] {
      let arguments = words.split(separator: " ").map(String.init)
      for options in [[], ["--json"]] {
        let outcome = try await harness.start(arguments + options).outcome()
        // A trap is 4 or 5 here, a signal's number.
        #expect(
          [0, 1, 65].contains(outcome.status),
          "\(words) \(options): \(outcome.complaint.suffix(400))")
      }
    }
    for options in [[], ["--json"]] {
      let watch = try harness.start(["watch", "op", "odd"] + options)
      await eventually("it is watched") { try watch.output.contains("odd") }
      watch.interrupt()
      #expect(try await watch.outcome().status == 130)
    }
  }
}
