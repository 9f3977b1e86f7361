import Pipeline
import Queue
import Redis
import Testing

/// What one call does to many batches alike is written at once, and says of each what is true of it.
@Suite struct TogetherTests {
  @Test func anEventTellsOfOneStageOnly() async throws {
    let bench = try await QueueBench()
    let stages: [(String, [Stage])] = [
      ("demo", [.extraction, .persistence]), ("short", [.persistence]),
    ]
    try await bench.queue.register(
      boot: "1", host: "here", pid: 7, version: "test", store: "s1", slots: 4,
      quietMilliseconds: 3_600_000,
      pipelines: stages.map { .init(name: $0.0, stages: $0.1, counts: .persistence) },
      now: QueueBench.start)
    for envelope in [
      #"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o"}"#,
      #"{"id":"c","operation":"o","pipeline":"short"}"#,
    ] {
      _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue", .text(envelope)])
    }
    let entries = try await bench.queue.intake(count: 9, now: QueueBench.start)
    _ = try await bench.queue.admit(
      bench.queue.check(entries, defaultPipeline: "demo", now: QueueBench.start),
      now: QueueBench.start)
    let events = try await bench.queue.client.call(["XRANGE", "batchd:events", "-", "+"])
    let told = (events.array ?? []).compactMap { $0.array?[1].array?.compactMap(\.text) }
      .filter { $0[1] == "admitted" }.map { [$0[3], $0[7]] }
    #expect(told == [["a b", "extraction"], ["c", "persistence"]])
  }

  @Test func moreThanLuaTakesAtOnceIsWrittenOnce() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let ids = (1...2_500).map { "b\($0)" }
    let envelopes = ids.map { RedisArgument.text(#"{"id":"\#($0)","operation":"o"}"#) }
    _ = try await bench.queue.client.call(["LPUSH", "batchd:enqueue"] + envelopes)
    let entries = try await bench.queue.intake(count: ids.count, now: QueueBench.start)
    #expect(entries.count == ids.count)
    _ = try await bench.queue.admit(
      bench.queue.check(entries, defaultPipeline: "demo", now: QueueBench.start),
      now: QueueBench.start)
    #expect(try await bench.list("members:o") == ids)
    #expect(try await bench.field("progress:o", "pending") == "\(ids.count)")
  }
}
