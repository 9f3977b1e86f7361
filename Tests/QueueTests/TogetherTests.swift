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
    try await bench.admit(
      #"{"id":"a","operation":"o"}"#, #"{"id":"b","operation":"o"}"#,
      #"{"id":"c","operation":"o","pipeline":"short"}"#)
    let events = try await bench.queue.client.call(["XRANGE", "batchd:events", "-", "+"])
    let told = (events.array ?? []).compactMap { $0.array?[1].array?.compactMap(\.text) }
      .filter { $0[1] == "admitted" }.map { [$0[3], $0[7]] }
    #expect(told == [["a b", "extraction"], ["c", "persistence"]])
  }

  @Test func moreThanLuaTakesAtOnceIsWrittenOnce() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let ids = (1...9_000).map { "b\($0)" }
    let admitted = try await bench.admit(ids.map { #"{"id":"\#($0)","operation":"o"}"# })
    #expect(admitted.count == ids.count)
    #expect(try await bench.list("members:o") == ids)
    #expect(try await bench.field("progress:o", "pending") == "\(ids.count)")
  }
}
