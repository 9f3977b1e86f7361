import Pipeline
import Stages
import Synchronization
import TestSupport
import Testing
import Worker

/// Stages that are endpoints, under leases of a real Redis.
@Suite(.serialized, .timeLimit(.minutes(5))) struct EndpointStageTests {
  private static func pipeline(
    _ url: String, feed: Feed, retries: Int, gateMilliseconds: Int = 20
  ) throws -> [PipelineDefinition] {
    var retry = RetryPolicy()
    retry.retries = retries
    retry.backoffMilliseconds = 50
    let gate = GateRule(
      name: "api", isPerAccount: false, intervalMilliseconds: gateMilliseconds)
    let handler = try HTTPHandler(
      HTTPConfiguration(url: url), gate: gate, feed: feed, retries: retries)
    return [
      PipelineDefinition(
        name: "demo", stages: [.init(stage: .extraction, handler: handler, retry: retry)])
    ]
  }

  /// Enqueues one batch and waits for its end.
  private func run(
    _ feed: Feed, retries: Int, until status: String,
    _ reply: @escaping @Sendable (_ request: Int) -> Endpoint.Reply,
    _ check: (WorkerHarness, [Endpoint.Request]) async throws -> Void
  ) async throws {
    let count = Mutex(0)
    try await Endpoint.with { _ in
      reply(
        count.withLock {
          $0 += 1
          return $0
        })
    } use: { endpoint, url in
      let harness = try await WorkerHarness()
      let worker = try harness.worker("w1", Self.pipeline(url, feed: feed, retries: retries))
      try await harness.enqueue(#"{"id":"b1","items":["A1","A2"]}"#)
      await harness.waitFor(status, of: "batch:b1")
      try await check(harness, endpoint.requests)
      try await worker.stop()
    }
  }

  @Test func whatIsReportedIsKeptAndTheRestAskedForAgain() async throws {
    try await run(.batch, retries: 1, until: "completed") { request in
      request == 1
        ? .init(pieces: ["{\"item\":\"A1\",\"output\":1}\n{\"item\":\"A2\",\"error\":\"later\"}"])
        : .init(pieces: ["{\"output\":2}"])
    } _: { harness, requests in
      let bodies = try requests.map { try JSON(parsing: $0.body) }
      #expect(bodies.map { $0["items"]?.array?.count } == [2, 1])
      let outputs = try await harness.hash("items:b1:extraction")
      #expect(outputs["A1"] == "1")
      let own = try await harness.hash("output:b1")
      #expect(own["extraction"] == "2")
      // The same work under the same key, by a later lease.
      #expect(requests[0].header("idempotency-key") == requests[1].header("idempotency-key"))
      #expect(requests[0].header("batchd-fence") != requests[1].header("batchd-fence"))
    }
  }

  /// The gate stays closed for as long as the service asks, which costs no attempt.
  @Test func aBusyServiceIsLeftAloneForNothing() async throws {
    try await run(.item, retries: 0, until: "completed") { request in
      request == 2 ? .init(status: 429, headers: [("Retry-After", "3")]) : .init()
    } _: { harness, requests in
      #expect(requests.count == 3)
      #expect(requests[2].arrived - requests[1].arrived >= .milliseconds(2_990))
      #expect(requests[2].header("idempotency-key") == requests[1].header("idempotency-key"))
      let attempt = try await harness.field("batch:b1", "attempt")
      #expect(attempt == "1")
    }
  }

  @Test func aServiceThatIsBusyForEverCostsAnAttempt() async throws {
    try await run(.item, retries: 0, until: "failed") { _ in
      .init(status: 503, headers: [("Retry-After", "0")])
    } _: { harness, requests in
      #expect(requests.count == 10)
      let error = try await harness.field("batch:b1", "error")
      #expect(error.contains(" answered 503 (attempt 1, no retries left)"))
    }
  }

  @Test func aWholeBatchComesBackAfterTheTimeAskedFor() async throws {
    try await run(.batch, retries: 1, until: "completed") { request in
      request == 1 ? .init(status: 503, headers: [("Retry-After", "1")]) : .init()
    } _: { harness, requests in
      #expect(requests.count == 2)
      #expect(requests[1].arrived - requests[0].arrived >= .seconds(1))
      let attempt = try await harness.field("batch:b1", "attempt")
      #expect(attempt == "2")
    }
  }

  @Test(arguments: [(503, [("Retry-After", "60")]), (429, [])] as [(Int, [(String, String)])])
  func aBusyServiceClosesTheGateForEveryone(
    _ status: Int, _ headers: [(String, String)]
  ) async throws {
    try await run(.batch, retries: 0, until: "failed") { _ in
      .init(status: status, headers: headers)
    } _: { harness, _ in
      let reason = try await harness.field("gate:api", "reason")
      #expect(reason == "\(status) from demo:extraction")
    }
  }

  @Test func aRefusalFailsTheItemOrTheBatch() async throws {
    for feed in Feed.allCases {
      let status = feed == .item ? "completed_with_errors" : "failed"
      try await run(feed, retries: 3, until: status) { request in
        request == 1 ? .init(status: 422, pieces: ["no such image"]) : .init()
      } _: { harness, requests in
        let key = feed == .item ? "errors:b1" : "batch:b1"
        let error = try await harness.field(key, feed == .item ? "A1" : "error")
        #expect(error.hasSuffix(" answered 422: no such image"))
        #expect(requests.count == (feed == .item ? 2 : 1))
      }
    }
  }
}
