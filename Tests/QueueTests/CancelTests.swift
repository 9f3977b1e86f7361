import Queue
import Redis
import Testing

/// What is cancelled leaves its place at once; an operation's members by the thousand, in bounded steps.
@Suite struct CancelTests {
  private static let start = QueueBench.start

  @Test func whatWaitedForItsTimeWaitsNoMore() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","delay":60}"#)
    #expect(try await bench.fcall("cancel", ["a"]).text == "cancelled")
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:delayed"]).integer == 0)
  }

  @Test func whatHasEndedIsSaidToHaveEnded() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","operation":"o"}"#)
    _ = try await bench.fcall("cancel", ["a"])
    let error = await #expect(throws: RedisError.self) { try await bench.fcall("cancel", ["a"]) }
    #expect(error?.serverCode == "ENDED")
    #expect(
      try await bench.fcall("cancel", ["operation:o"]).text
        == "cancelled 0, cancelling 0, ended before 1")
  }

  @Test func aLargeOperationIsCancelledFromItsFirstMemberToItsLast() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"first","operation":"o"}"#)
    let others: [RedisArgument] = (0..<1_000).map { .text("expired\($0)") }
    _ = try await bench.queue.client.call(["RPUSH", "batchd:members:o"] + others)
    try await bench.admit(#"{"id":"last","operation":"o"}"#)
    // A place in the list that is none.
    _ = try await bench.queue.client.call(["HSET", "batchd:meta", "cancel:o", "-3"])
    #expect(
      try await bench.fcall("cancel", ["operation:o", .integer(Self.start)]).text
        == "cancelled 1, cancelling 0, ended before 0; the workers cancel the rest")
    #expect(try await bench.field("batch:first", "status") == "cancelled")
    #expect(try await bench.field("batch:last", "status") == "pending")
    try await bench.tick(now: Self.start)
    #expect(try await bench.field("batch:last", "status") == "cancelled")
    #expect(try await bench.queue.client.call(["EXISTS", "batchd:cancelling"]).integer == 0)
  }
}
