import Queue
import Redis
import Testing

/// batchd_admit takes its entries out of the intake at once: each of them is answered for, and no other goes.
@Suite struct AdmissionTests {
  private static let intake = "intake:w1:enqueue"

  private func moved(_ raws: [String], _ bench: QueueBench) async throws {
    _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue"] + raws.map { .text($0) })
    let entries = try await bench.queue.intake(count: 9, now: QueueBench.start)
    #expect(entries.count == raws.count)
  }

  /// Of an envelope that is its own id.
  private func verdict(_ raw: String) -> [RedisArgument] {
    [.text(raw), "admit", .text(raw), "o", "demo", "", "", "", "", "", 0]
  }

  private func admission(_ verdicts: [[RedisArgument]]) -> [RedisArgument] {
    [1, "w1", .integer(verdicts.count)] + verdicts.joined() + [.integer(QueueBench.start)]
  }

  @Test func whatTheIntakeDoesNotHoldIsGoneAndTheRestStays() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await moved(["a", "b", "c", "d"], bench)
    let first = try await bench.fcall("admit", admission([verdict("b")]))
    #expect(first.array?.map(\.text) == ["gone"])
    #expect(try await bench.list(Self.intake) == ["d", "c", "b", "a"])
    let second = try await bench.fcall("admit", admission(["a", "x", "b"].map(verdict)))
    #expect(second.array?.map(\.text) == ["admitted", "gone", "admitted"])
    #expect(try await bench.list(Self.intake) == ["d", "c"])
    #expect(try await bench.list("queue:demo:extraction") == ["b", "a"])
    let third = try await bench.fcall("admit", admission(["x", "y", "z"].map(verdict)))
    #expect(third.array?.map(\.text) == ["gone", "gone", "gone"])
    #expect(try await bench.list(Self.intake) == ["d", "c"])
  }

  @Test func anIDOfTheSameCallIsADuplicate() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let first = try await bench.admit(
      #"{"id":"a","operation":"o"}"#, #"{"id":"a","operation":"p"}"#, #"{"id":"b"}"#)
    #expect(first == [.admitted, .duplicate, .admitted])
    #expect(try await bench.field("batch:a", "operation") == "o")
    #expect(try await bench.list("queue:demo:extraction") == ["b", "a"])
    #expect(
      try await bench.admit(#"{"id":"c"}"#, #"{"id":"b"}"#) == [.admitted, .duplicate])
  }

  /// A faulty entry and its correction, pushed one after the other: the record of the rejected one was to expire.
  @Test(arguments: [#"{"id":"a"}"#, #"{"id":"a","account":"x"}"#])
  func theCorrectionOfARejectedEntryLives(corrected: String) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let first = try await bench.admit(
      #"{"id":"a","bogus":1}"#, corrected, #"{"id":"b","pipeline":"none"}"#, #"{"id":"b"}"#)
    #expect(first == [.rejected, .admitted, .rejected, .admitted])
    for id in ["a", "b"] {
      let expiry = try await bench.queue.client.call(["PTTL", .text("batchd:batch:\(id)")])
      #expect(expiry.integer == -1, "\(id)")
      #expect(try await bench.field("batch:\(id)", "error") == nil)
      #expect(try await bench.field("batch:\(id)", "finished_at") == nil)
      #expect(try await bench.field("batch:\(id)", "status") == "pending")
    }
  }

  /// Here of a Redis user who may not write rejected entries.
  @Test func whatAnErrorLeavesUnansweredGoesBackInItsOrder() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let keys = ["meta", "pipelines", "intake:*", "batch:*", "input:*", "queue:*", "progress:*"]
    _ = try await bench.queue.client.call(
      [
        "ACL", "SETUSER", "limited", "on", ">secret", "+@all", "~batchd", "~batchd:events",
        "~batchd:stats", "~batchd:members:*", "~batchd:operations",
      ] + keys.map { .text("~batchd:\($0)") })
    try await moved(["a", "b", "c", "d"], bench)
    let verdicts = [verdict("a"), ["b", "reject", "no reason", ""], verdict("c")]
    let user = try await bench.queue.client.connect()
    _ = try await user.call(["AUTH", "limited", "secret"])
    await #expect(throws: RedisError.self) {
      _ = try await user.call(["FCALL", "batchd_admit", 1, "batchd"] + admission(verdicts))
    }
    await user.close()
    #expect(try await bench.list(Self.intake) == ["d", "c", "b"])
    #expect(try await bench.list("queue:demo:extraction") == ["a"])
    #expect(try await bench.field("progress:o", "pending") == "1")
    let again = try await bench.fcall("admit", admission(Array(verdicts[1...])))
    #expect(again.array?.map(\.text) == ["rejected", "admitted"])
    #expect(try await bench.list(Self.intake) == ["d"])
  }
}
