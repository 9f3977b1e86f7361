import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// A call whose reply was lost is sent again, and is answered as the first was.
@Suite struct RepeatTests {
  private static let now = RedisArgument.integer(QueueBench.start)

  @Test func theSameClaimRequestGetsTheSameAnswerAndClaimsNothingMore() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["A"]}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    func claim(_ request: String) async throws -> RedisValue {
      try await bench.fcall(
        "claim",
        [
          1, "w1", .text(request), "demo", "extraction", "queue", 2,
          .integer(QueueBench.lease), Self.now,
        ])
    }
    let first = try await claim("r1")
    #expect(first.array?.count == 4)
    #expect(try await claim("r1") == first)
    #expect(try await bench.queue.client.call(["ZCARD", "batchd:leases"]).integer == 2)
    // As far as the leases are still held.
    let fence = try #require(first.array?[2].array?[3].text)
    _ = try await bench.fcall("hand_back", [1, 1, "a", 1, "extraction", .text(fence), Self.now])
    #expect(try await claim("r1").array?.count == 3)
    let second = try await claim("r2")
    #expect(second.array?.dropFirst(2).map { $0.array?[0].text } == ["a", "c"])
  }

  @Test func theIntakeShowsWhatItHoldsAndThenWhatIsNew() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let list: RedisArgument = "batchd:enqueue"
    func intake(_ count: Int, _ most: Int) async throws -> [String] {
      let reply = try await bench.fcall(
        "intake", [1, "w1", .integer(count), .integer(most), Self.now])
      return (reply.array ?? []).compactMap(\.text)
    }
    _ = try await bench.queue.client.call(["LPUSH", list, "one", "two", "three", "longer", "five"])
    #expect(try await intake(2, 6) == ["one", "two"])
    #expect(try await intake(2, 6) == ["one", "two"])
    #expect(try await intake(4, 6) == ["one", "two", "three", "longer"])
    // What is too long is rejected, whether it came before or comes now; nothing behind it is passed over.
    _ = try await bench.queue.client.call(["LPUSH", list, "overlong", "seven"])
    #expect(try await intake(9, 5) == ["one", "two", "three", "five", "seven"])
    #expect(try await intake(9, 5) == ["one", "two", "three", "five", "seven"])
    #expect(try await bench.list("intake:w1:enqueue").count == 5)
    #expect(try await bench.list("rejected").count == 2)
  }

  /// The long way and the short one (plain.lua).
  @Test(arguments: [1, 0])
  func aRepeatedFinishReturnsTheFirstAnswer(items: Int) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(items == 1 ? #"{"id":"a","items":["A"]}"# : #"{"id":"a"}"#)
    let claim = try await bench.claim()[0]
    func finish(_ lease: Lease, goesOn: Bool) async throws -> RedisValue? {
      try await bench.fcall(
        "finish",
        [1, .integer(QueueBench.lease), 1] + Array(lease)
          + [goesOn ? "1" : "0", "1", #""output""#, Self.now]
      ).array?[1]
    }
    // The lease goes on into validation, then waits for persistence, then the batch ends.
    let next = try await finish(claim.lease, goesOn: true)
    #expect(next?.array?[1].text == "validation")
    #expect(try await finish(claim.lease, goesOn: true) == next)
    let validation = Lease(batch: "a", run: 1, stage: .validation, fence: claim.lease.fence)
    #expect(try await finish(validation, goesOn: false)?.text == "queued")
    #expect(try await finish(validation, goesOn: false)?.text == "queued")
    #expect(try await bench.list("queue:demo:persistence") == ["a"])
    let last = try await bench.claim(StageList(pipeline: "demo", stage: .persistence))[0]
    #expect(try await finish(validation, goesOn: false)?.text == "queued")
    #expect(try await finish(last.lease, goesOn: true)?.text == "ended")
    #expect(try await finish(last.lease, goesOn: true)?.text == "ended")
    #expect(try await finish(claim.lease, goesOn: true)?.text == "lost")
    #expect(try await bench.field("progress:a", "completed") == "1")
    #expect(try await bench.field("stats", "completed") == "1")
    #expect(try await bench.field("progress:a", "items_done") == "\(items)")
    let told = try await bench.queue.outbox(count: 9, now: QueueBench.start)
    #expect(told.flatMap(\.batches).map(\.run) == [1])
  }

  /// Verb, its arguments after the lease, answer, where the batch is then.
  @Test(arguments: [
    ("fail", ["2000", "no"], "retrying", "batchd:delayed"), ("fail", ["", "no"], "ended", ""),
    ("snooze", ["2000", "later"], "snoozed", "batchd:delayed"),
    ("hand_back", [], "handed_back", "batchd:queue:demo:extraction"),
  ])
  func aRepeatedSettlementIsAnsweredAlikeAndDoneOnce(
    verb: String, rest: [String], answer: String, place: String
  ) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let lease = try await bench.claim()[0].lease
    func settle() async throws -> String? {
      let count: [RedisArgument] = verb == "hand_back" ? [1] : []
      let reply = try await bench.fcall(
        verb, [1] + count + Array(lease) + rest.map { .text($0) } + [Self.now])
      return reply.text ?? reply.array?[0].text
    }
    #expect(try await settle() == answer)
    let after = try await bench.queue.client.call(["HGETALL", "batchd:batch:a"])
    let events = try await bench.queue.client.call(["XLEN", "batchd:events"])
    #expect(try await settle() == answer)
    #expect(try await bench.queue.client.call(["HGETALL", "batchd:batch:a"]) == after)
    #expect(try await bench.queue.client.call(["XLEN", "batchd:events"]) == events)
    #expect(try await bench.field("batch:a", "place") == place)
    // Somebody who never held it changes nothing.
    let stranger = Lease(
      batch: "a", run: 1, stage: .extraction, fence: Fence(epoch: 1, counter: 999))
    try await bench.queue.snooze(stranger, delayMilliseconds: 1, reason: "x", now: QueueBench.start)
    #expect(try await bench.queue.client.call(["HGETALL", "batchd:batch:a"]) == after)
  }

  @Test func aCheckpointedItemCountsOnce() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","items":["A","B"]}"#)
    let claim = try await bench.claim()[0]
    for results: [String: ItemResult] in [
      ["A": .done(.integer(1))], ["A": .done(.integer(2))], ["A": .failed("no")],
      ["B": .failed("first")], ["B": .failed("second")], ["B": .done(.null)],
    ] {
      let state = try await bench.queue.checkpoint(
        claim, results, leaseMilliseconds: QueueBench.lease, now: QueueBench.start)
      #expect(state == .held)
    }
    #expect(try await bench.field("progress:a", "items_done") == "1")
    #expect(try await bench.field("progress:a", "items_failed") == "1")
    #expect(try await bench.field("items:a:extraction", "A") == "1")
    #expect(try await bench.field("errors:a", "B") == "first")
    #expect(try await bench.field("errors:a", "A") == nil)
  }
}
