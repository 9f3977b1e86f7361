import Pipeline
import Queue
import Redis
import Testing

/// A lease that goes on into the next stage skips nobody, and is told again only to who still holds it.
@Suite struct GoingOnTests {
  private static let start = QueueBench.start

  private func finish(_ bench: QueueBench, _ claim: Claim) async throws -> String {
    let answers = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: true)], leaseMilliseconds: QueueBench.lease,
      now: Self.start)
    return switch answers[0] {
    case .next: "next"
    case .queued: "queued"
    case .ended: "ended"
    case .lost: "lost"
    case .full: "full"
    }
  }

  @Test func itStandsInLineBehindWhoWaits() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#, #"{"id":"b"}"#, #"{"id":"c"}"#)
    let claims = try await bench.claim(count: 3)
    _ = try await bench.queue.finish(
      [.init(claim: claims[0], output: nil, goesOn: false)], leaseMilliseconds: QueueBench.lease,
      now: Self.start)
    #expect(try await finish(bench, claims[1]) == "queued")
    #expect(try await bench.list("queue:demo:validation") == ["b", "a"])
    let next = StageList(pipeline: "demo", stage: .validation)
    #expect(try await bench.claim(next, count: 2).count == 2)
    #expect(try await finish(bench, claims[2]) == "next")
  }

  @Test(arguments: ["all", "pipeline:demo", "stage:demo:validation", "account:x"])
  func itStopsBeforeWhatIsPaused(_ what: String) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","account":"x"}"#)
    let claims = try await bench.claim()
    _ = try await bench.fcall("pause", [.text(what)])
    #expect(try await finish(bench, claims[0]) == "queued")
    #expect(try await bench.field("batch:a", "stage") == "validation")
  }

  @Test func whoLostItMeanwhileIsNotToldToGoOn() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let claims = try await bench.claim()
    #expect(try await finish(bench, claims[0]) == "next")
    #expect(try await finish(bench, claims[0]) == "next")
    try await bench.tick(now: Self.start + QueueBench.lease)
    #expect(try await finish(bench, claims[0]) == "lost")
  }
}
