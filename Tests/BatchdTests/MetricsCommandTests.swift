import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

@Suite struct MetricsCommandTests {
  @Test func everyNumberIsRedissTruth() async throws {
    let harness = try await CommandHarness()
    let isOpen = Latch()
    try await harness.withWorker(
      handler: Handler { job, _ in
        if job.batch == "bad" { throw StageError.permanent("no") }
        while !isOpen.isSet, job.batch == "long" { try await Task.sleep(for: .milliseconds(20)) }
        return nil
      }
    ) {
      #expect(try await harness.run("enqueue", "--id", "good", "--wait").status == 0)
      #expect(try await harness.run("enqueue", "--id", "bad", "--wait").status == 1)
      for id in ["good", "late"] {
        _ = try await harness.redis.cli(
          "LPUSH", "batchd:enqueue", #"{"id":"\#(id)","delay":3600}"#)
      }
      _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", "{")
      _ = try await harness.run("enqueue", "--id", "long", "--account", "acme")
      await eventually("it runs") {
        try await harness.redis.cli("HGET", "batchd:batch:long", "status") == "processing"
      }
      _ = try await harness.run("enqueue", "--id", "behind", "--account", "acme")
      _ = try await harness.run("pause", "stage:demo:setup")
      _ = try await harness.run("enqueue", "--id", "first")
      _ = try await harness.run("enqueue", "--id", "second")
      await eventually("both wait") {
        try await harness.redis.cli("LLEN", "batchd:queue:demo:setup") == "2"
      }
      try await self.closeGate(harness)
      let worker = #"pipeline="demo",stage="setup",worker="w1""#
      let expected: [String: Double] = [
        "batchd_up": 1, "batchd_workers": 1, "batchd_leases": 1, "batchd_delayed_batches": 1,
        "batchd_enqueued_entries": 0, "batchd_lanes_held": 1, "batchd_lane_waiting_batches": 1,
        "batchd_failed_batches": 1, "batchd_rejected_entries": 1, "batchd_outbox_entries": 0,
        #"batchd_paused{what="stage:demo:setup"}"#: 1,
        #"batchd_batches_ended_total{status="completed"}"#: 1,
        #"batchd_batches_ended_total{status="failed"}"#: 1,
        #"batchd_batches_ended_total{status="cancelled"}"#: 0,
        "batchd_batches_admitted_total": 7, "batchd_duplicates_total": 1,
        "batchd_entries_rejected_total": 1, "batchd_retries_total": 0,
        #"batchd_queue_batches{pipeline="demo",stage="setup"}"#: 2,
        #"batchd_queue_batches{pipeline="demo",stage="extraction"}"#: 0,
        #"batchd_queue_oldest_seconds{pipeline="demo",stage="extraction"}"#: 0,
        #"batchd_worker_slots{worker="w1"}"#: 512, #"batchd_worker_running{worker="w1"}"#: 1,
        "batchd_gates_closed": 1,
        "batchd_stage_jobs_total{outcome=\"finished\",\(worker)}": 1,
        "batchd_stage_jobs_total{outcome=\"failed\",\(worker)}": 1,
        "batchd_stage_jobs_total{outcome=\"lost\",\(worker)}": 0,
        "batchd_stage_seconds_count{\(worker)}": 2,
        #"batchd_batch_seconds_count{pipeline="demo",status="failed",worker="w1"}"#: 1,
      ]
      var seen = try Exposition(try await harness.run("metrics").output)
      await eventually("beats have told of it all") {
        seen = try Exposition(try await harness.run("metrics").output)
        return expected.allSatisfy { seen.samples[$0.key] == $0.value }
      }
      for (sample, value) in expected { #expect(seen.samples[sample] == value, "\(sample)") }
      let age = try #require(
        seen.samples[#"batchd_queue_oldest_seconds{pipeline="demo",stage="setup"}"#])
      #expect(age > 0 && age < 60)
      let closed = try #require(
        seen.samples[#"batchd_gate_closed_seconds{gate="a \"b\\"}"#])
      #expect(closed > 3_500 && closed <= 3_600)
      #expect(try #require(seen.samples[#"batchd_worker_beat_age_seconds{worker="w1"}"#]) < 30)
      isOpen.set()
    }
  }

  /// As a service's 429 does, under a name that needs escapes.
  private func closeGate(_ harness: CommandHarness) async throws {
    let epoch = try await harness.redis.cli("HGET", "batchd:meta", "epoch")
    let answer = try await harness.redis.cli(
      "FCALL", "batchd_gate_close", "1", "batchd", epoch, #"a "b\"#, "3600000", "429")
    #expect(!answer.contains("ERR") && !answer.contains("BADARG"), "\(answer)")
  }

  @Test func whatIsNoSeriesIsLeftOut() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: Handler { _, _ in nil }) {
      _ = try await harness.redis.cli(
        "HSET", "batchd:worker:w1", #"custom{a="x\ny",worker="w2"}"#, "3", #"new_seconds{}"#,
        "0.5=1 +Inf=2 sum=1.5", #"bad{a=b}"#, "1", #"bad{a="b"#, "1", #"1bad{a="b"}"#, "1",
        #"bad{a="b",a="c"}"#, "1", #"bad{a="b"}"#, "one", #"falling{a="b"}"#, "1=2 +Inf=1 sum=0",
        #"batchd_up{}"#, "7", #"endless{a="b"}"#, "1=1 sum=1", #"nothing{a="b"}"#, "sum=1")
      let outcome = try await harness.run("metrics")
      let seen = try Exposition(outcome.output)
      #expect(seen.samples[#"custom{a="x\ny",worker="w1"}"#] == 3)
      #expect(seen.samples[#"new_seconds_bucket{le="0.5",worker="w1"}"#] == 1)
      #expect(seen.samples[#"new_seconds_sum{worker="w1"}"#] == 1.5)
      #expect(seen.samples["batchd_up"] == 1)
      for name in ["bad", "1bad", "falling", "endless", "nothing"] {
        #expect(seen.kinds[name] == nil)
      }
      let json = try JSON(parsing: try await harness.run("metrics", "--json").output.utf8)
      let families = json.object?["families"]?.array ?? []
      let named = Dictionary(
        uniqueKeysWithValues: families.map { ($0.object?["name"]?.string ?? "", $0.object) })
      #expect(Set(named.keys).isSuperset(of: seen.kinds.keys))
      #expect(
        named["new_seconds"]??["series"]
          == .array([
            .object([
              "labels": .object(["worker": .string("w1")]), "sum": .number(1.5),
              "count": .integer(2),
              "buckets": .object(["0.5": .integer(1), "+Inf": .integer(2)]),
            ])
          ]))
      // A person's view of the same worker holds counts alone.
      let status = try await harness.run("status", "--json")
      #expect(!status.output.contains("{a=") && !status.output.contains("batchd_"))
    }
  }

  @Test func withoutRedisItIsDown() async throws {
    let harness = try await CommandHarness()
    let outcome = try await harness.command(
      ["metrics", "--redis", "unix:///tmp/nobody-\(UUID().uuidString)"]
    ).outcome()
    #expect(outcome.status == 69)
    #expect(try Exposition(outcome.output).samples == ["batchd_up": 0])
    #expect(outcome.complaint.hasPrefix("batchd: "))
  }
}
