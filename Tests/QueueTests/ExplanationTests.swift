import Foundation
import Logging
import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// What one look finds out about a batch, at every place where one can be. Redis's own clock counts, so the bench's is the
/// real one here.
@Suite struct ExplanationTests {
  private let bench: QueueBench
  private let control: Control
  private let now = Int(Date().timeIntervalSince1970 * 1000)

  init() async throws {
    bench = try await QueueBench(now: now - 60_000)
    let client = RedisClient(
      try RedisConfiguration(url: bench.redis.url),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    control = Control(try await client.connect(), prefix: "batchd")
    try await bench.register(now: now)
  }

  private func explain(_ id: String, gates: [String] = []) async throws -> Explanation {
    try await control.explain(id) { _ in gates }
  }

  private func admit(_ envelopes: String...) async throws {
    try await bench.admit(envelopes, now: now)
  }

  /// Claims the next batch of the first list.
  private func claim() async throws -> Claim {
    try #require(try await bench.claim(now: now).first)
  }

  private func call(_ words: RedisArgument...) async throws {
    _ = try await bench.queue.client.call(words)
  }

  @Test func whatIsNoBatchIsLookedForAmongEntries() async throws {
    #expect(try await explain("a").whereabouts == .unknown)
    try await call("LPUSH", "batchd:enqueue", #"{"id":"z"}"#, #"{"id":"ab"}"#, #"{"id":7}"#)
    let seven = try await explain("7")
    #expect(seven.whereabouts == .enqueued && seven.ahead == 2 && seven.workers == 1)
    #expect(try await explain("a").whereabouts == .unknown)
    // A worker may have taken it already.
    try await call("LMOVE", "batchd:enqueue", "batchd:intake:w1:enqueue", "RIGHT", "LEFT")
    let taken = try await explain("z")
    #expect(taken.place == "batchd:intake:w1:enqueue" && taken.ahead == 0)
    #expect(try await explain("7").ahead == 2)
    try await call("LPUSH", "batchd:enqueue", #"{"operation":"nightly"}"#)
    #expect(try await explain("nightly").whereabouts == .enqueued)
  }

  @Test func whatLiesTooDeepIsCounted() async throws {
    try await call("LPUSH", "batchd:enqueue", #"{"id":"first"}"#)
    for _ in 0..<21 {
      _ = try await bench.queue.client.call(
        ["LPUSH", "batchd:enqueue"] + Array(repeating: #"{"id":"x"}"#, count: 100))
    }
    try await call("LPUSH", "batchd:enqueue", #"{"id":"last"}"#)
    #expect(try await explain("first").ahead == 0)
    let last = try await explain("last")
    #expect(last.whereabouts == .unknown && last.unseenEntries == 102)
  }

  @Test func aRejectedEntryIsFoundWithItsReason() async throws {
    try await admit(#"{"id":"a","color":1}"#, #"{"id":"b","pipeline":"dmo"}"#, #"{"id":"c","#)
    let first = try await explain("a")
    #expect(first.whereabouts == .rejected && first.batch == nil)
    #expect(first.rejection?.reason.hasPrefix("color: unknown field") == true)
    #expect(first.rejection?.position == 2)
    #expect(
      try await explain("b").rejection?.reason == #"pipeline: "dmo" is not known; known: demo"#)
    // What is no JSON leaves no record, but its words are there.
    #expect(try await explain("c").rejection?.position == 0)
    try await call("DEL", "batchd:rejected")
    #expect(try await explain("a").rejection?.position == nil)
    #expect(try await explain("c").whereabouts == .unknown)
  }

  @Test func aQueuedBatchKnowsItsTurnAndWhoMayTakeIt() async throws {
    try await admit(
      #"{"id":"a"}"#, #"{"id":"b","items":["i"]}"#, #"{"id":"c"}"#,
      #"{"id":"d","priority":"high"}"#)
    let found = try await explain("c")
    #expect(found.whereabouts == .queue && found.place == "batchd:queue:demo:extraction")
    #expect(found.ahead == 3 && found.serving.map(\.name) == ["w1"])
    #expect(try await explain("d").ahead == 0)
    #expect(found.events.map(\.event) == ["admitted"])
    try await call("HSET", "batchd:worker:w1", "pipelines", "demo:validation")
    let alone = try await explain("c")
    #expect(alone.serving.isEmpty && alone.workers == 1)
    for what in ["all", "stage:demo:extraction", "stage:demo:validation", "account:x"] {
      _ = try await bench.fcall("pause", [.text(what)])
    }
    #expect(try await explain("c").paused == ["all", "stage:demo:extraction"])
    try await call(
      "LMOVE", "batchd:queue:demo:extraction", "batchd:intake:w1:demo:extraction", "RIGHT", "LEFT")
    let taken = try await explain("d")
    #expect(taken.whereabouts == .queue && taken.ahead == nil && taken.takenBy == "w1")
    #expect(try await explain("c").takenBy == nil)
    // Somebody lost it.
    try await call("LREM", "batchd:queue:demo:extraction", 0, "c")
    #expect(try await explain("c").ahead == nil)
  }

  @Test func aLaneNamesItsHolder() async throws {
    try await admit(
      #"{"id":"a","account":"x"}"#, #"{"id":"b","account":"x"}"#, #"{"id":"c","account":"x"}"#)
    let lease = try await claim().lease
    var found = try await explain("c")
    #expect(found.whereabouts == .lane && found.lane == "demo:x" && found.ahead == 1)
    #expect(found.holder?.batch.id == "a" && found.holder?.whereabouts == .leased)
    #expect(found.holder?.until == now + QueueBench.lease)
    _ = try await bench.queue.fail(lease, delayMilliseconds: 90_000, error: "503", now: now)
    found = try await explain("c")
    #expect(found.holder?.whereabouts == .delayed && found.holder?.batch.error == "503")
    #expect(found.holder?.until == now + 90_000)
    // The holder of a paused account's lane waits in front of it, behind nobody.
    _ = try await bench.fcall("pause", ["account:x"])
    try await bench.tick(now: now + 90_000)
    let parked = try await explain("a")
    #expect(parked.whereabouts == .lane && parked.holder == nil && parked.ahead == 0)
    #expect(parked.paused == ["account:x"])
  }

  @Test func aDelayKnowsItsEndAndItsReason() async throws {
    try await admit(#"{"id":"later","delay":60}"#, #"{"id":"a"}"#, #"{"id":"b"}"#)
    let later = try await explain("later")
    #expect(later.whereabouts == .delayed && later.dueAt == now + 60_000)
    #expect(later.batch?.status == "pending" && later.batch?.error == nil)
    let first = try await claim().lease
    _ = try await bench.queue.fail(first, delayMilliseconds: 4_000, error: "503", now: now)
    let retried = try await explain("a")
    #expect(retried.dueAt == now + 4_000 && retried.batch?.status == "retrying")
    #expect(retried.batch?.attempt == 2 && retried.batch?.error == "503")
    #expect(retried.events.map(\.event) == ["admitted", "claimed", "retrying"])
    try await bench.queue.snooze(
      try await claim().lease, delayMilliseconds: 9_000, reason: "gate svc is closed", now: now)
    let epoch = try await bench.field("meta", "epoch") ?? ""
    _ = try await bench.fcall(
      "gate_close", [.text(epoch), "svc", 30_000, "429 from svc", .integer(now)])
    // The gate stands in the reason, whoever named it.
    let snoozed = try await explain("b", gates: ["other"])
    #expect(snoozed.batch?.status == "processing" && snoozed.dueAt == now + 9_000)
    #expect(snoozed.gates.map(\.name) == ["svc"] && snoozed.gates.first?.reason == "429 from svc")
    #expect(snoozed.gates.first?.opensAt == now + 30_000)
  }

  @Test func aLeaseKnowsItsWorkerDeadOrAlive() async throws {
    try await admit(#"{"id":"a","items":["i","j"]}"#)
    let claim = try await claim()
    _ = try await bench.queue.checkpoint(
      claim, ["i": .done(.null), "j": .failed("no")], leaseMilliseconds: QueueBench.lease,
      now: now)
    var found = try await explain("a")
    #expect(found.whereabouts == .leased && found.worker?.name == "w1" && found.worker?.pid == 7)
    #expect(found.worker?.state == .alive)
    #expect(found.leaseExpiresAt == now + QueueBench.lease && found.itemErrors == ["j": "no"])
    #expect(found.leasedSince == "\(Timestamp(milliseconds: Int64(now)))")
    _ = try await bench.fcall("cancel", ["a"])
    #expect(try await explain("a").isCancelling)
    try await call("ZADD", "batchd:workers", .integer(now - 40_000), "w1")
    found = try await explain("a")
    #expect(found.worker?.state == .silent && found.workers == 0)
    // tick takes a dead worker off the list; its record says who it was for a day.
    try await bench.tick(now: now + 5_000)
    #expect(try await explain("a").worker?.name == "w1")
  }

  @Test func aSuspectRunsAlone() async throws {
    try await admit(#"{"id":"a"}"#)
    _ = try await claim()
    try await bench.tick(now: now + 120_000)
    try await bench.tick(now: now + 240_000)
    let found = try await explain("a")
    #expect(found.whereabouts == .suspects && found.crashes == 1 && found.ahead == 0)
    #expect(found.events.last?.event == "crashed")
  }

  @Test func anEndIsKeptForAWhile() async throws {
    try await admit(#"{"id":"a","items":["i"]}"#, #"{"id":"b"}"#)
    let claim = try await claim()
    _ = try await bench.queue.checkpoint(
      claim, ["i": .failed("no")], leaseMilliseconds: QueueBench.lease, now: now)
    _ = try await bench.queue.fail(claim.lease, delayMilliseconds: nil, error: "over", now: now)
    var found = try await explain("a")
    #expect(found.whereabouts == .ended && found.batch?.status == "failed")
    #expect(found.batch?.error == "over" && found.itemErrors == ["i": "no"])
    #expect(found.keptUntil == nil, "the store has not taken it yet")
    try await call("EXPIRE", "batchd:batch:a", 3_600)
    found = try await explain("a")
    #expect(try abs(#require(found.keptUntil) - now - 3_600_000) < 60_000)
    #expect(try await control.failed(BatchFilter(), limit: 9).map(\.id) == ["a"])
    var other = BatchFilter()
    other.account = "x"
    #expect(try await control.failed(other, limit: 9).isEmpty)
  }

  @Test func whatHasNoPlaceIsSaidToHaveNone() async throws {
    try await admit(#"{"id":"a"}"#, #"{"id":"b","delay":60}"#)
    try await call("HSET", "batchd:batch:a", "place", "batchd:elsewhere")
    #expect(try await explain("a").whereabouts == .adrift)
    try await call("DEL", "batchd:delayed", "batchd:batch:a")
    #expect(try await explain("b").whereabouts == .adrift)
    let lost = try await explain("a")
    #expect(lost.whereabouts == .unknown && lost.hasEnvelopeOnly)
  }

  @Test func eventsOfOneRunAreFoundAmongThoseOfOthers() async throws {
    try await admit(#"{"id":"a"}"#)
    for number in 0..<1_200 {
      try await call("XADD", "batchd:events", "*", "event", "due", "batch", .text("x\(number)"))
    }
    #expect(try await explain("a").events.map(\.event) == ["admitted"])
  }

  @Test func anOperationSaysWhatItWaitsFor() async throws {
    #expect(try await control.explain(operation: "o") == nil)
    var envelopes = (1...7).map { #"{"id":"b\#($0)","operation":"o","account":"x","size":9}"# }
    envelopes.append(#"{"id":"wrong","operation":"o","color":1}"#)
    try await bench.admit(envelopes, now: now)
    let lease = try await claim().lease
    _ = try await bench.queue.fail(lease, delayMilliseconds: nil, error: "over", now: now)
    try await call("LPUSH", "batchd:enqueue", "{}")
    _ = try await bench.fcall("pause", ["account:x"])
    let found = try #require(try await control.explain(operation: "o"))
    #expect(found.progress.failed == 1 && found.failed.map(\.id) == ["b1"])
    #expect(found.missing == 2 && found.enqueued == 1 && found.workers == 1)
    #expect(found.inTheWay.map(\.batch.id) == ["b2", "b3", "b4", "b5", "b6"])
    #expect(found.inTheWay.map(\.holder) == [nil, "b2", "b2", "b2", "b2"])
    #expect(found.rejections.count == 1 && found.paused == ["account:x"])
    _ = try await bench.fcall("cancel", ["operation:o"])
    try await admit(#"{"id":"c1","operation":"o"}"#, #"{"id":"c2","operation":"o"}"#)
    for id in ["c1", "c2"] { _ = try await bench.fcall("cancel", [.text(id)]) }
    let ended = try #require(try await control.explain(operation: "o"))
    #expect(ended.progress.isFinished && ended.inTheWay.isEmpty && ended.missing == 0)
  }
}
