import Glibc
import Pipeline
import Queue
import Redis
import Stores
import Synchronization
import TestSupport
import Testing
import Worker

/// One bad batch never takes its neighbours with it.
@Suite struct PoisonTests {
  @Test func aBatchThatKillsItsWorkerEachTimeFailsAloneAmong256Running() async throws {
    let harness = try await WorkerHarness()
    // All wait in the list before the first worker starts.
    let setup = try await harness.registered("setup")
    _ = try await harness.redis.shell(
      """
      for i in $(seq 255); do echo "LPUSH batchd:enqueue '{\\"id\\":\\"b$i\\",\\"operation\\":\\"o\\"}'"
      [ $i = 100 ] && echo "LPUSH batchd:enqueue '{\\"id\\":\\"bad\\",\\"operation\\":\\"o\\"}'"
      done | rcli
      """)
    try await setup.admit()
    try await setup.queue.leave()
    #expect(try await harness.redis.cli("LLEN", "batchd:queue:demo:extraction") == "256")

    for life in 1...3 {
      await #expect(processExitsWith: .signal(SIGKILL), "life \(life)") {
        [folder = harness.redis.folder as String, life = life as Int] in
        try await work(life: life, in: folder)
      }
    }
    await #expect(processExitsWith: .success) {
      [folder = harness.redis.folder as String] in
      try await work(life: 4, in: folder)
    }

    let progress = try await harness.hash("progress:o")
    #expect(progress["completed"] == "255")
    #expect(progress["failed"] == "1")
    #expect(progress["status"] == "completed_with_errors")
    let bad = try await harness.hash("batch:bad")
    #expect(bad["status"] == "failed")
    #expect(
      bad["error"]
        == "poison: its worker died 3 times while it ran; the last was w1: its log says why; mend the cause, then retry the batch"
    )
    #expect(bad["crashes"] == "3")
    #expect(try await harness.redis.cli("ZRANGE", "batchd:failed", "0", "-1") == "bad")
    // Only the first crash took others along.
    let crashes = try await harness.events("crashed")
    #expect(crashes.count { $0["batch"] != "bad" } == 255)
    #expect(crashes.count { $0["batch"] == "bad" } == 2)
  }

  /// Three whose worker went away: each waits, after its first checkpoint, for the others to come as far.
  @Test func aSuspectThatMadeProgressLetsTheNextOneBegin() async throws {
    let harness = try await WorkerHarness()
    let ghost = try await harness.registered("ghost")
    for id in ["a", "b", "c"] { try await harness.enqueue(#"{"id":"\#(id)","items":["x"]}"#) }
    try await ghost.admit()
    let claims = try await ghost.claim(count: 3, leaseMilliseconds: 200)
    #expect(claims.count == 3)
    let arrived = Mutex(0)
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, context in
          try await context.checkpoint(["x": .done(.null)])
          arrived.withLock { $0 += 1 }
          while arrived.withLock({ $0 }) < 3 { try await Task.sleep(for: .milliseconds(10)) }
          return nil
        }
      ])
    for id in ["a", "b", "c"] { await harness.waitFor("completed", of: "batch:\(id)") }
    #expect(try await harness.events("crashed").count == 3)
    try await worker.stop()
  }
}

/// One life of the worker w1. In the first all 256 run at once before the bad one kills them.
private func work(life: Int, in folder: String) async throws {
  let store = try await SQLiteStore(path: "\(folder)/store.sqlite")
  let running = Mutex(0)
  let worker = try RunningWorker(
    "unix://\(folder)/redis.sock", store, "w1",
    [
      .demo { job, _ in
        running.withLock { $0 += 1 }
        if job.batch == "bad" {
          while life == 1, running.withLock({ $0 }) < 256 {
            try await Task.sleep(for: .milliseconds(5))
          }
          kill(getpid(), SIGKILL)
        }
        if life == 1 { try await Task.sleep(for: .seconds(600)) }
        return nil
      }
    ])
  let observer = ConnectedQueue(
    try .test("unix://\(folder)/redis.sock", store, "observer", Limits()))
  await eventually(within: .seconds(60), "the operation ends") {
    try await observer.queue.client.call(["HGET", "batchd:progress:o", "status"]).text
      == "completed_with_errors"
  }
  try await worker.stop()
}
