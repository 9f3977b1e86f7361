import Pipeline
import TestSupport
import Testing
import Worker

/// A running worker whose Redis is full of keys of the wrong type: it goes on, says what is wrong, and does not spin.
@Suite struct HostileWorkerTests {
  private static let keys: [(String, String)] = [
    ("enqueue", "list"), ("delayed", "zset"), ("leases", "zset"), ("failed", "zset"),
    ("lanes", "hash"), ("rejected", "list"), ("paused", "set"), ("operations", "zset"),
    ("workers", "zset"), ("worker:w1", "hash"), ("pipelines", "hash"), ("store", "hash"),
    ("meta", "hash"), ("stats", "hash"), ("events", "stream"), ("ended", "stream"),
    ("departed", "zset"), ("cancelling", "set"), ("gone", "hash"), ("lane:demo:good", "list"),
    ("batch:good", "hash"), ("progress:good", "hash"), ("progress:good:good", "hash"),
    ("input:good", "string"), ("output:good", "hash"), ("errors:good", "hash"),
    ("items:good:extraction", "hash"), ("members:good", "list"), ("accounts:good", "set"),
    ("queue:demo:extraction", "list"), ("suspects:demo:extraction", "list"),
    ("intake:w1:enqueue", "list"), ("intake:w1:demo:extraction", "list"),
    ("claimed:w1:demo:extraction", "string"),
  ]

  /// Type, the command that writes it; `K` is the key.
  @Test(arguments: [
    ("string", "SET K x"), ("list", "RPUSH K x"), ("hash", "HSET K x y"), ("set", "SADD K x"),
    ("zset", "ZADD K 1 x"), ("stream", "XADD K * x y"),
  ])
  func everyKeyAtOnceStopsNobody(_ type: String, _ write: String) async throws {
    let harness = try await WorkerHarness()
    let log = LogRecorder()
    let worker = try harness.worker(
      "w1",
      [
        .demo { job, context in
          try await context.checkpoint(["A": .done(.string("x"))])
          return .string("out")
        }
      ], logger: log.logger)
    await harness.waitForWorker("w1")
    try await harness.enqueue(#"{"id":"before","account":"acme","items":["A"]}"#)
    await harness.waitFor("completed", of: "batch:before")
    let wrong = Self.keys.filter { $0.1 != type }.map { "batchd:\($0.0)" }
    let lines = wrong.map { "DEL \($0)\n" + write.replacing("K", with: $0) }
    _ = try await harness.redis.shell(
      "rcli <<'END'\nMULTI\n\(lines.joined(separator: "\n"))\nEXEC\nEND")
    await eventually("entries are taken again") {
      try await harness.redis.cli(
        "LPUSH", "batchd:enqueue", #"{"id":"good","account":"good","items":["A"]}"#
      )
      .allSatisfy(\.isNumber)
    }
    await harness.waitFor("completed", of: "batch:good")
    await harness.waitFor("completed", of: "progress:good")
    await eventually("the history is written") {
      try await harness.redis.cli("XLEN", "batchd:ended") == "0"
    }
    await eventually("the log says so") {
      log.contains("a key of Redis was broken") && log.contains("batchd:aside:")
    }
    try await worker.stop()
  }

  /// Somebody writes the wrong type again and again under calls that are blocked.
  @Test func aListThatIsBrokenAgainAndAgainMakesNobodySpin() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    await harness.waitForWorker("w1")
    let shown = try await harness.redis.shell(
      """
      (for i in $(seq 25); do
        for key in enqueue queue:demo:extraction intake:w1:enqueue intake:w1:demo:extraction; do
          rcli SET batchd:$key x >/dev/null
        done
        sleep 0.1
      done) & timeout 3 redis-cli -s "$0" MONITOR; wait
      """)
    let commands = shown.split(separator: "\n").filter {
      $0.contains("] \"") && !$0.contains(" lua] ") && !$0.contains("\"SET\"")
    }
    print("commands in 3 s while lists were broken 100 times: \(commands.count)")
    #expect((1...600).contains(commands.count))
    await eventually("entries are taken again") {
      try await harness.redis.cli("LPUSH", "batchd:enqueue", #"{"id":"good"}"#)
        .allSatisfy(\.isNumber)
    }
    await harness.waitFor("completed", of: "batch:good")
    try await worker.stop()
  }

  @Test func aPausedListMakesNobodySpin() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("pause", "stage:demo:extraction") == "paused")
    try await harness.enqueue(#"{"id":"waits"}"#)
    await harness.waitFor("pending", of: "batch:waits")
    let shown = try await harness.redis.shell(
      #"timeout 2 redis-cli -s "$0" MONITOR; [ $? = 124 ]"#)
    let commands = shown.split(separator: "\n").filter {
      $0.contains("] \"") && !$0.contains(" lua] ")
    }
    // Seven beats of 300 ms, and what follows the push.
    #expect((1...40).contains(commands.count), "\(commands.joined(separator: "\n"))")
    #expect(try await harness.fcall("resume", "stage:demo:extraction") == "resumed")
    await harness.waitFor("completed", of: "batch:waits")
    try await worker.stop()
  }
}
