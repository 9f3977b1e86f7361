import Queue
import Redis
import Testing

/// Who holds an account's lane lives, and who is given it waits there.
@Suite struct LaneTests {
  @Test func aHolderThatWasDeletedByHandHoldsNothing() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","account":"x"}"#)
    _ = try await bench.queue.client.call(["DEL", "batchd:batch:a"])
    try await bench.admit(#"{"id":"b","account":"x"}"#, #"{"id":"c","account":"x"}"#)
    #expect(try await bench.field("lanes", "demo:x") == "b")
    #expect(try await bench.field("batch:b", "place") == "batchd:queue:demo:extraction")
    #expect(try await bench.field("batch:c", "place") == "batchd:lane:demo:x")
  }

  /// `a` holds the lane, `b` and `c` wait in it.
  private func three() async throws -> QueueBench {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a","account":"x"}"#, #"{"id":"b","account":"x"}"#, #"{"id":"c","account":"x"}"#)
    return bench
  }

  @Test func aWaiterThatWasCancelledAndDelayedIsPassedOver() async throws {
    let bench = try await three()
    _ = try await bench.fcall("cancel", ["b"])
    try await bench.admit(#"{"id":"b","account":"x","rerun":true,"delay":60}"#)
    #expect(try await bench.field("batch:b", "place") == "batchd:delayed")
    _ = try await bench.fcall("cancel", ["a"])
    #expect(try await bench.field("lanes", "demo:x") == "c")
    #expect(try await bench.field("batch:b", "place") == "batchd:delayed")
  }

  @Test func aWaiterThatIsBrokenIsPassedOver() async throws {
    let bench = try await three()
    _ = try await bench.queue.client.call(["HSET", "batchd:batch:b", "run", "x"])
    _ = try await bench.fcall("cancel", ["a"])
    #expect(try await bench.field("lanes", "demo:x") == "c")
  }

  @Test func anOperationCountsWhatItExpectsAndEnds() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a","operation":"o","size":2}"#, #"{"id":"d","operation":"p","size":1}"#,
      #"{"id":"e","operation":"p"}"#)
    _ = try await bench.fcall("cancel", ["a"])
    _ = try await bench.fcall("cancel", ["d"])
    #expect(try await bench.field("progress:o", "percent") == "50")
    #expect(try await bench.field("progress:p", "percent") == "50")
    #expect(try await bench.field("progress:o", "finished_at") == nil)
    #expect(try await bench.events("operation_finished") == 0)
    try await bench.admit(#"{"id":"b","operation":"o"}"#)
    _ = try await bench.fcall("cancel", ["b"])
    #expect(try await bench.field("progress:o", "finished_at") != nil)
    #expect(try await bench.events("operation_finished") == 1)
    #expect(try await bench.events("operation_reopened") == 0)
    _ = try await bench.fcall("retry", ["b"])
    #expect(try await bench.events("operation_reopened") == 1)
  }

  @Test func aRetryBeginsInAStageOfItsPipeline() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    _ = try await bench.fcall("cancel", ["a"])
    await #expect(throws: RedisError.self) { try await bench.fcall("retry", ["a", "setup"]) }
    #expect(try await bench.field("batch:a", "status") == "cancelled")
  }

  @Test func anEntryOverTheLimitIsRejectedAndDoesNotTravel() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    for entry in ["12345", "123456"] {
      _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue", .text(entry)])
    }
    let reply = try await bench.fcall("intake", [1, "w1", 10, 5, .integer(QueueBench.start)])
    #expect(reply.array?.compactMap(\.text) == ["12345"])
    #expect(try await bench.list("rejected").count == 1)
  }
}
