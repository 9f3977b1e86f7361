import Pipeline
import Queue
import Redis
import Testing

/// A claim takes what belongs into its list, and gives each a fence that nobody had.
@Suite struct ClaimTests {
  private static let start = QueueBench.start

  @Test func whatDoesNotBelongIntoTheListIsDroppedAsItIs() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"delayed","delay":60}"#, #"{"id":"ended"}"#, #"{"id":"moved"}"#)
    for words: [RedisArgument] in [
      // Its record is broken as well: that is for tick to say.
      ["HSET", "batchd:batch:delayed", "run", "x"],
      ["RPUSH", "batchd:queue:demo:extraction", "delayed"],
      ["HSET", "batchd:batch:ended", "status", "completed"],
      ["HSET", "batchd:batch:moved", "stage", "validation"],
    ] {
      _ = try await bench.queue.client.call(words)
    }
    #expect(try await bench.claim(count: 9).isEmpty)
    #expect(try await bench.events("stray") == 3)
    #expect(try await bench.field("batch:delayed", "status") == "pending")
    #expect(try await bench.field("batch:ended", "status") == "completed")
    #expect(try await bench.field("batch:moved", "status") == "pending")
  }

  /// It would end up in a text whose words are told apart by spaces.
  @Test func anIDThatIsNoNameIsDroppedWhateverItsRecordSays() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#)
    for words: [RedisArgument] in [
      ["COPY", "batchd:batch:b", "batchd:batch:b 2"],
      ["LPUSH", "batchd:queue:demo:extraction", "b 2"],
    ] {
      _ = try await bench.queue.client.call(words)
    }
    #expect(try await bench.claim(count: 9).map(\.lease.batch) == ["a", "b"])
    #expect(try await bench.events("stray") == 1)
  }

  @Test func aPipelineOfAnUnknownStageIsBroken() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.queue.client.call([
      "HSET", "batchd:batch:a", "stages", "extraction,garbage",
    ])
    #expect(try await bench.claim().isEmpty)
    #expect(try await bench.field("batch:a", "status") == "failed")
  }

  @Test func aCounterThatWasSetBackGivesNoFenceTwice() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#)
    let old = try await bench.claim(count: 2).map(\.lease)
    try await bench.queue.handBack(old, now: Self.start)
    _ = try await bench.queue.client.call(["HSET", "batchd:meta", "fence", "0"])
    let new = try await bench.claim(count: 2).map(\.lease)
    #expect(new.map(\.fence).min()! > old.map(\.fence).max()!)
  }

  @Test func oneAnswerStaysBoundedAndTheRestKeepsItsOrder() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let payload = String(repeating: "x", count: 400_000)
    let ids = (10..<50).map { "b\($0)" }
    for id in ids { try await bench.admit(#"{"id":"\#(id)","payload":"\#(payload)"}"#) }
    // Sixteen envelopes are read at once, until eight mebibytes are passed.
    #expect(try await bench.claim(count: 40).map(\.lease.batch) == Array(ids[..<32]))
    #expect(try await bench.list("queue:demo:extraction").reversed() == Array(ids[32...]))
    #expect(try await bench.claim(count: 40).map(\.lease.batch) == Array(ids[32...]))
  }
}
