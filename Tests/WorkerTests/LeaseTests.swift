import Pipeline
import Stores
import Synchronization
import TestSupport
import Testing
import Worker

/// A zombie changes nothing.
@Suite struct LeaseTests {
  /// A tick that believes it is `milliseconds` later.
  private func tick(_ harness: WorkerHarness, in milliseconds: Int) async throws -> String {
    let time = try await harness.redis.cli("TIME").split(separator: "\n").compactMap { Int($0) }
    let epoch = try await harness.field("meta", "epoch")
    return try await harness.fcall(
      "tick", epoch, "", "", "3", "\(time[0] * 1000 + time[1] / 1000 + milliseconds)")
  }

  @Test func aLostLeaseCancelsTheHandlerAtTheNextBeat() async throws {
    let harness = try await WorkerHarness()
    let events = Mutex<[String]>([])
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, _ in
          let count = events.withLock { events in
            events.append("started")
            return events.count
          }
          guard count == 1 else { return nil }
          do {
            try await Task.sleep(for: .seconds(600))
          } catch {
            events.withLock { $0.append("cancelled") }
            throw error
          }
          return nil
        }
      ]
    ) {
      $0.leaseMilliseconds = 30_000
      // Longer than the tick below leaps, which would pass for an outage of Redis otherwise.
      $0.idleBeatMilliseconds = 60_000
    }
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it runs") { events.withLock { $0.count } == 1 }
    _ = try await tick(harness, in: 40_000)
    await harness.waitFor("completed", of: "batch:b1")
    // Its successor may start before the beat says so.
    #expect(events.withLock { $0.sorted() } == ["cancelled", "started", "started"])
    #expect(try await harness.events("crashed").map(\.["batch"]) == ["b1"])
    #expect(try await harness.field("batch:b1", "retry_count") == "0")
    try await worker.stop()
  }

  /// One batch for each act of a worker that does not know yet, for the first refusal cancels the handler.
  private static let acts = ["checkpoint", "gate", "rows", "return"]

  private static func act(_ job: StageJob, _ context: StageContext) async -> String {
    do {
      switch job.batch {
      case "checkpoint": try await context.checkpoint(["A": .failed("zombie")])
      case "gate": try await context.take(gate: "g", intervalMilliseconds: 10)
      case "rows": try await write("zombie", job, context)
      default: break
      }
      return "done"
    } catch let error as StoreError { return error.code.rawValue } catch { return "\(error)" }
  }

  private static func write(
    _ text: String, _ job: StageJob, _ context: StageContext
  ) async throws {
    let document = JobDocument(
      uuid: "AAAAAA", account: "acme", document: Array("{}".utf8), contentHash: text)
    _ = try await context.store.upsert([document], for: job)
  }

  @Test func checkpointFinishGateAndRowsOfAZombieAreRefused() async throws {
    let harness = try await WorkerHarness()
    let outcomes = Mutex<[String: String]>([:])
    let started = Mutex<Set<String>>([])
    let mayWake = Mutex(false)
    let pipeline = PipelineDefinition.demo(writesToStore: true) { job, context in
      guard started.withLock({ $0.insert(job.batch).inserted }) else {
        if job.batch == "rows" { try await Self.write("successor", job, context) }
        return nil
      }
      while !mayWake.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
      let outcome = await Self.act(job, context)
      outcomes.withLock { $0[job.batch] = outcome }
      return nil
    }
    // Neither beat nor local deadline tells the first worker: only the refusals do.
    let first = try harness.worker("w1", [pipeline]) {
      $0.leaseMilliseconds = 60_000
      $0.beatMilliseconds = 60_000
      // As above: the leap of the tick must not pass for an outage, however slowly all this starts.
      $0.idleBeatMilliseconds = 120_000
    }
    for act in Self.acts { try await harness.enqueue(#"{"id":"\#(act)","items":["A"]}"#) }
    await eventually("all run") { started.withLock { $0.count } == Self.acts.count }
    _ = try await tick(harness, in: 60_500)
    let second = try harness.worker("w2", [pipeline])
    for act in Self.acts { await harness.waitFor("completed", of: "batch:\(act)") }
    mayWake.withLock { $0 = true }
    await eventually("the zombie has tried all") {
      outcomes.withLock { $0.count } == Self.acts.count
    }
    #expect(
      outcomes.withLock { $0 } == [
        "checkpoint": "CancellationError()", "gate": "CancellationError()", "rows": "fenced",
        "return": "done",
      ])
    try await first.stop()
    #expect(
      try await harness.redis.cli("EXISTS", "batchd:errors:checkpoint", "batchd:gate:g") == "0")
    #expect(try await harness.field("stats", "completed") == "\(Self.acts.count)")
    #expect(try await harness.events("ended").count == Self.acts.count)
    #expect(try await harness.events("ended").allSatisfy { $0["status"] == "completed" })
    #expect(
      try await harness.store.contentHashes(account: "acme", uuids: ["AAAAAA"])
        == ["AAAAAA": "successor"])
    try await second.stop()
  }

  /// Nobody has raised a greater fence, for nobody reaches Redis: the store would still take the rows.
  @Test func aHandlerThatIgnoresItsCancellationWritesNothingAfterTheDeadline() async throws {
    let harness = try await WorkerHarness()
    let started = Mutex(0)
    let outcome = Mutex<String?>(nil)
    let pipeline = PipelineDefinition.demo(writesToStore: true) { job, context in
      guard
        started.withLock({ count in
          count += 1
          return count == 1
        })
      else { return nil }
      while !Task.isCancelled { try? await Task.sleep(for: .milliseconds(10)) }
      // A task of its own hears nothing of the cancellation.
      let text = await Task.detached {
        do {
          try await Self.write("too late", job, context)
          return "written"
        } catch { return "\(error)" }
      }.value
      outcome.withLock { $0 = text }
      return nil
    }
    let worker = try harness.worker("w1", [pipeline]) { $0.leaseMilliseconds = 2_000 }
    try await harness.enqueue(#"{"id":"b1","items":["A"]}"#)
    await eventually("it runs") { started.withLock { $0 } == 1 }
    harness.redis.suspend()
    await eventually("the handler has tried") { outcome.withLock { $0 != nil } }
    harness.redis.resume()
    #expect(outcome.withLock { $0 } == "CancellationError()")
    await harness.waitFor("completed", of: "batch:b1")
    #expect(started.withLock { $0 } == 2)
    let rows = try await harness.store.contentHashes(account: "acme", uuids: ["AAAAAA"])
    #expect(rows.isEmpty)
    try await worker.stop()
  }

  /// A way that forgot its connections, as a NAT does: a push is swallowed by a call that nobody hears any more.
  @Test func blockedCallsAreSentAnewAfterAReconnect() async throws {
    let harness = try await WorkerHarness()
    let way = try FaultyProxy(at: "\(harness.redis.folder)/way", to: harness.redis.socketPath)
    let started = Mutex(false)
    let hasForgotten = Mutex(false)
    let pipeline = PipelineDefinition.demo { job, context in
      guard job.batch == "b1" else { return nil }
      started.withLock { $0 = true }
      while !hasForgotten.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
      // On the shared connection: what notices.
      try await context.checkpoint(["A": .done(.string("late"))])
      return nil
    }
    let worker = try RunningWorker("unix://\(way.path)", harness.store, "w1", [pipeline]) {
      $0.leaseMilliseconds = 120_000
      // No beat helps: one would see that something waits behind a blocked call.
      $0.beatMilliseconds = 60_000
      $0.idleBeatMilliseconds = 60_000
    }
    try await harness.enqueue(#"{"id":"b1","items":["A"]}"#)
    await eventually("it runs") { started.withLock { $0 } }
    way.set(.forget)
    hasForgotten.withLock { $0 = true }
    await harness.waitFor("completed", of: "batch:b1")
    // The one beat that follows the reconnect sees nothing yet.
    try await Task.sleep(for: .seconds(1))
    #expect(way.counts.swallowedBytes > 0)
    try await harness.enqueue(#"{"id":"b2"}"#)
    await harness.waitFor("completed", of: "batch:b2", within: .seconds(10))
    try await worker.stop()
  }

  @Test func aSilentRedisStopsTheHandlerBeforeItsLeaseEndsAndChargesNothing() async throws {
    let harness = try await WorkerHarness()
    let started = Mutex(0)
    let cancelled = Mutex<ContinuousClock.Instant?>(nil)
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, _ in
          guard
            started.withLock({ count in
              count += 1
              return count == 1
            })
          else { return nil }
          do {
            try await Task.sleep(for: .seconds(600))
          } catch {
            cancelled.withLock { $0 = .now }
            throw error
          }
          return nil
        }
      ]
    ) { $0.leaseMilliseconds = 3_000 }
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it runs") { started.withLock { $0 } == 1 }
    harness.redis.suspend()
    let suspended = ContinuousClock.now
    await eventually("the handler was stopped") { cancelled.withLock { $0 != nil } }
    let stopped = try #require(cancelled.withLock { $0 })
    // The last renewal was sent before the silence, and Redis counts from its arrival.
    #expect(stopped - suspended < .milliseconds(3_000))
    try await Task.sleep(until: suspended + .milliseconds(3_500), clock: .continuous)
    harness.redis.resume()
    await harness.waitFor("completed", of: "batch:b1")
    #expect(started.withLock { $0 } == 2)
    #expect(try await harness.events("crashed").isEmpty)
    #expect(try await harness.field("batch:b1", "attempt") == "1")
    #expect(try await harness.field("batch:b1", "retry_count") == "0")
    try await worker.stop()
  }
}
