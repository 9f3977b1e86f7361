import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

/// What `batchd doctor`, `status` and `workers` say of who works, and of what waits for nobody.
@Suite struct DoctorWorkTests {
  private static let arguments = ["--appendonly", "yes"]

  /// The last worker to start said that new batches go through a stage which nobody serves any more.
  @Test func aStageThatNobodyServesIsShown() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    try await harness.withWorker(handler: .init { _, _ in nil }) {
      _ = try await harness.redis.cli(
        "HSET", "batchd:pipelines", "demo", "setup,validation|setup")
      _ = try await harness.run("enqueue", "--id", "b1")
      // Its worker has no such stage and leaves it to others, at once and without a charge.
      await eventually("it waits for another worker") {
        try await harness.redis.cli("LLEN", "batchd:queue:demo:validation") == "1"
      }
      #expect(try await harness.redis.cli("HEXISTS", "batchd:batch:b1", "crashes") == "0")
      let status = try await harness.run("status")
      let words = "NOBODY SERVES demo:validation: 1 wait"
      #expect(status.output.contains(words), "\(status.output)")
      let json = try JSON(parsing: try await harness.run("status", "--json").output.utf8)
      #expect(json["unserved"]?.array?.first?["stage"] == .string("validation"))

      let doctor = try await harness.run("doctor")
      #expect(doctor.status == 1)
      for words in [
        "batchd:queue:demo:validation no living worker serves it, and 1 wait",
        "new batches of demo go through setup,validation, but w1 serves setup,extraction",
        "remedy: give all workers the same [pipelines.demo]",
      ] { #expect(doctor.output.contains(words), "\(words) in\n\(doctor.output)") }
      _ = try await harness.run("pause", "stage:demo:validation")
      let paused = try await harness.run("doctor")
      #expect(!paused.output.contains("no living worker serves"))
      #expect(paused.output.contains("note: stage:demo:validation is paused"), "\(paused.output)")
    }
  }

  @Test func whoIsSilentOrMissingIsAFinding() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    try await harness.withWorker(handler: .init { _, _ in nil }, {})
    #expect(try await harness.run("doctor").output.contains("none is alive, nothing waits"))
    _ = try await harness.run("enqueue", "--id", "b1")
    let missing = try await harness.run("doctor")
    #expect(missing.status == 1)
    #expect(
      missing.output.contains("batchd:workers holds no living worker, and 1 wait for one"),
      "\(missing.output)")

    let now = Int(Date().timeIntervalSince1970 * 1000)
    func appear(_ name: String, _ age: Int, _ fields: String...) async throws {
      _ = try await harness.redis.cli("ZADD", "batchd:workers", "\(now - age)", name)
      _ = try await harness.redis.cli(
        ["HSET", "batchd:worker:\(name)", "host", "far", "pid", "12"] + fields)
    }
    try await appear("ghost", 45_000, "version", "1")
    let silent = try await harness.run("doctor")
    #expect(silent.output.contains("batchd:worker:ghost has not been heard for 4"))
    #expect(silent.output.contains("holds no living worker"), "\(silent.output)")
    #expect(try await harness.run("status").output.contains("NO WORKER is running"))

    // Two that live by their records, and do nothing.
    try await appear("a", 0, "version", "1", "pipelines", "demo:setup demo:extraction")
    try await appear("b", 0, "version", "2", "pipelines", "demo:setup demo:extraction")
    let idle = try await harness.run("doctor")
    #expect(idle.output.contains("1 wait to be admitted, and the oldest is not taken up"))
    #expect(idle.output.contains("note: workers of 1 and 2 work side by side"), "\(idle.output)")

    _ = try await harness.redis.cli("XADD", "batchd:ended", "1000-1", "x", "y")
    let outbox = try await harness.run("doctor")
    #expect(outbox.output.contains("1 ended runs wait to be written"), "\(outbox.output)")
  }

  @Test func workersAreShownWithWhatTheyHold() async throws {
    let harness = try await CommandHarness(redisArguments: Self.arguments)
    #expect(try await harness.run("workers").output.contains("NO WORKER is running"))
    let isOpen = Latch()
    let old = Int(Date().timeIntervalSince1970 * 1000) - 60_000
    try await harness.withWorker(handler: .held(by: isOpen)) {
      _ = try await harness.redis.cli(
        "HSET", "batchd:worker:gone", "host", "far", "beat_at",
        "\(Timestamp(milliseconds: Int64(old)))")
      _ = try await harness.redis.cli("ZADD", "batchd:workers", "\(old)", "gone")
      _ = try await harness.run("enqueue", "--id", "b1", "--account", "acme", "A", "B")
      await eventually("the one runs, the other is buried") {
        let running = try await harness.redis.cli("HGET", "batchd:worker:w1", "running")
        let buried = try await harness.redis.cli("ZSCORE", "batchd:departed", "gone")
        return running == "1" && buried != ""
      }
      let all = try await harness.run("workers")
      #expect(all.lines.first?.hasPrefix("WORKER  STATE  ") == true)
      #expect(all.output.contains("demo:setup,extraction"), "\(all.output)")
      let json = try JSON(parsing: try await harness.run("workers", "--json").output.utf8)
      #expect(json.array?.map { $0["name"] } == [.string("w1"), .string("gone")])
      #expect(json.array?.map { $0["state"] } == [.string("alive"), .string("lost")])
      #expect(json.array?.first?["counters"]?["finished"] == .integer(0))
      #expect(try await harness.run("status").output.contains("gone"))
      #expect(
        try await harness.run("doctor").output.contains("note: worker gone on host far ended"))

      let one = try await harness.run("workers", "w1")
      for words in ["state        alive", "serves       demo: setup, extraction", "b1     demo"] {
        #expect(one.output.contains(words), "\(words) in\n\(one.output)")
      }
      let detail = try JSON(parsing: try await harness.run("workers", "w1", "--json").output.utf8)
      let held = detail["holds"]?.array?.first
      #expect(held?["batch"]?["id"] == .string("b1"))
      let wrong = try await harness.run("workers", "w2")
      #expect(wrong.status == 65 && wrong.complaint.contains("shows them: w1, gone"))
      isOpen.set()
      await eventually("it has ended") {
        try await harness.redis.cli("HGET", "batchd:batch:b1", "status") == "completed"
      }
    }
    let left = try JSON(parsing: try await harness.run("workers", "--json").output.utf8)
    #expect(left.array?.map { $0["state"] } == [.string("lost"), .string("stopped")])
  }
}
