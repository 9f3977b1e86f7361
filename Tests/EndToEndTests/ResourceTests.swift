import Foundation
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// What many batches needed of Redis and of a worker is given back.
  @Suite struct ResourceTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let count = isLong ? 100_000 : 3_000

    /// Every key that stays when all batches are gone, and why.
    private static let staying: [String: String] = [
      "stats": "a fixed set of counters",
      "events": "a stream, bounded by event_count",
      "rejected": "a list, bounded by rejected_count and rejected_bytes, for a person to look at",
      "ended": "the outbox stream, empty; its consumer group",
      "meta": "epoch, fence, limits: a fixed set of fields",
      "store": "the identity of the results store",
      "pipelines": "one field per pipeline",
      "workers": "the live worker's name",
      "worker:w1": "the live worker's own hash",
      "claimed:w1:demo:persistence": "the last claim of the live worker, for a lost reply",
    ]

    @Test func aWorkerAndRedisReturnToTheirBaseline() async throws {
      let settings = [
        "stage=persistence", "retention_seconds=1", "failed_retention_seconds=1",
        "event_count=1000", "rejected_count=20", "retries=1", "backoff_ms=10",
      ]
      try await TestWorkers.with(settings) { workers in
        let worker = try await workers.start("w1")
        try await Self.run(500, of: "warm", workers)
        let before = try await Self.measure(workers, worker)
        let start = ContinuousClock.now
        try await Self.run(Self.count, of: "b", workers)
        let seconds = (ContinuousClock.now - start).components.seconds
        let after = try await Self.measure(workers, worker)
        print(
          "resources: \(Self.count) batches in \(seconds) s; before \(before), after \(after)")
        #expect(Set(after.keys.keys) == Set(Self.staying.keys))
        for (key, bytes) in after.keys {
          #expect(bytes <= before.keys[key, default: 0] * 5 / 4 + 2_048, "\(key)")
        }
        #expect(after.redisBytes <= before.redisBytes + 1 << 20)
        #expect(after.worker.residentBytes <= before.worker.residentBytes + 32 << 20)
        #expect(after.worker.descriptors <= before.worker.descriptors)
        try await Self.expectNothingOfTheWorkerStays(workers, worker)
      }
    }

    private struct Figures: CustomStringConvertible {
      /// Bytes by key, without the prefix.
      var keys: [String: Int] = [:]
      var redisBytes = 0
      let worker: Footprint

      var description: String {
        "\(keys.count) keys, Redis \(redisBytes >> 10) KiB, worker \(worker.residentBytes >> 10) KiB, "
          + "\(worker.descriptors) descriptors"
      }
    }

    private static func measure(_ workers: TestWorkers, _ worker: Program) async throws -> Figures {
      _ = try await workers.client.call(["MEMORY", "PURGE"])
      var figures = Figures(worker: try Footprint(worker))
      for key in try await keys(workers) {
        let usage = ["MEMORY", "USAGE", RedisArgument.text("batchd:\(key)"), "SAMPLES", 0]
        figures.keys[key] = try await workers.client.call(usage).integer
      }
      figures.redisBytes = try await workers.info("memory", "used_memory") ?? .max
      return figures
    }

    private static func keys(_ workers: TestWorkers) async throws -> [String] {
      let reply = try await workers.client.call(["KEYS", "*"])
      return (reply.array ?? []).compactMap { $0.text?.dropFirst("batchd:".count) }.map(String.init)
    }

    /// Runs `count` batches of every kind to their ends and past their retention.
    private static func run(
      _ count: Int, of name: String, _ workers: TestWorkers
    ) async throws {
      let earlier = try await ends(workers)
      var cancelled: [String] = []
      for first in stride(from: 0, to: count, by: 500) {
        let numbers = first..<min(first + 500, count)
        try await workers.push(numbers.map { envelope("\(name)\($0)", $0) })
        cancelled += numbers.filter { $0 % 50 == 8 }.map { "\(name)\($0)" }
      }
      for id in cancelled {
        await eventually(within: .seconds(600), "\(id) is cancelled") {
          try await workers.fcall("cancel", [.text(id)]).text == "cancelled"
        }
      }
      await eventually(within: .seconds(600), "\(count) have ended") {
        try await ends(workers) == earlier + count
      }
      await eventually(within: .seconds(180), "only what is bounded stays") {
        // A round over the operations begins once a minute; the short form does not wait for it.
        if !isLong { _ = try await workers.client.call(["HDEL", "batchd:meta", "round_at"]) }
        let epoch = try await workers.client.call(["HGET", "batchd:meta", "epoch"]).text ?? ""
        if !isLong { try await workers.fcall("tick", [.text(epoch), "", "", 3]) }
        return Set(try await keys(workers)).isSubset(of: Set(staying.keys))
      }
    }

    private static func envelope(_ id: String, _ number: Int) -> String {
      let operation = #""operation":"o\#(number / 100)-\#(id.prefix(1))""#
      return switch number % 10 {
      case 0: #"{"id":"\#(id)","account":"a\#(number % 70)",\#(operation)}"#
      case 1: #"{"id":"\#(id)","items":["x","y",3],"payload":{"do":"slow","ms":0}}"#
      case 2: #"{"id":"\#(id)","payload":{"do":"fail"}}"#
      case 3: #"{"id":"\#(id)","items":["i\#(number % 500)"],"payload":{"do":"write"}}"#
      case 4: #"{"id":"\#(id)","delay":0.5,\#(operation)}"#
      case 5: #"{"id":"\#(id)","itmes":[]}"#
      case 6: #"{"id":"\#(id)","priority":"high","account":"a\#(number % 70)"}"#
      case 7: #"{"id":"\#(id)","payload":"\#(String(repeating: "x", count: 2_000))"}"#
      case 8 where number % 50 == 8: #"{"id":"\#(id)","delay":100000,\#(operation)}"#
      default: #"{"id":"\#(id)"}"#
      }
    }

    private static func ends(_ workers: TestWorkers) async throws -> Int {
      let stats = try await workers.stats()
      return ["completed", "failed", "cancelled", "rejected"].reduce(0) {
        $0 + stats[$1, default: 0]
      }
    }

    private static func expectNothingOfTheWorkerStays(
      _ workers: TestWorkers, _ worker: Program
    ) async throws {
      worker.send(SIGTERM)
      #expect(await worker.exitStatus(within: .seconds(10)) == 0)
      var left = Set(staying.keys).subtracting(["workers", "claimed:w1:demo:persistence"])
      // For an hour more, for what a blocked call of its host may still swallow.
      left.insert("departed")
      #expect(Set(try await keys(workers)) == left)
      let expiry = try await workers.client.call(["TTL", "batchd:worker:w1"]).integer ?? 0
      #expect((1...86_400).contains(expiry))
    }
  }
}
