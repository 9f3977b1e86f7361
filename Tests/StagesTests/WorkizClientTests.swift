import Pipeline
import Simulators
import Testing

@testable import Stages

// A request without an end would otherwise hang the run instead of failing it.
@Suite(.timeLimit(.minutes(2))) struct WorkizClientTests {
  private static let token = "sim-acme"

  /// One request to a server that behaves so.
  private func outcome(
    _ behaviour: RawServer.Behaviour, timeoutMilliseconds: Int = 30_000
  ) async throws -> WorkizOutcome {
    var found: WorkizOutcome?
    try await RawServer.with(behaviour) { url in
      try await Self.withClient(url, timeoutMilliseconds) { client in
        found = try await client.send(.job(uuid: "A1B2C3"), token: Self.token).outcome
      }
    }
    return try #require(found)
  }

  private static func withClient(
    _ url: String, _ timeoutMilliseconds: Int = 30_000,
    use: (WorkizClient) async throws -> Void
  ) async throws {
    var configuration = WorkizConfiguration { _ in Self.token }
    configuration.baseURL = url
    configuration.timeoutMilliseconds = timeoutMilliseconds
    let client = try WorkizClient(configuration)
    do {
      try await use(client)
    } catch {
      try await client.close()
      throw error
    }
    try await client.close()
  }

  private static func http(_ status: String, _ headers: String = "", _ body: String) -> String {
    "HTTP/1.1 \(status)\r\ncontent-length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
  }

  private func isFailed(_ outcome: WorkizOutcome) -> Bool {
    if case .failed = outcome { true } else { false }
  }

  @Test(arguments: [
    RawServer.Behaviour.hang,
    .drip(head: "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"),
    .text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
    .text("HTTP/1.1 200 O"),
  ])
  func aSlowAnswerEndsAtTheTimeout(_ behaviour: RawServer.Behaviour) async throws {
    let start = ContinuousClock.now
    let outcome = try await outcome(behaviour, timeoutMilliseconds: 300)
    #expect(outcome == .failed("Workiz gave no complete answer within 300 ms"))
    #expect(ContinuousClock.now - start > .milliseconds(290))
    #expect(ContinuousClock.now - start < .seconds(20))
  }

  @Test(arguments: [
    "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
  ])
  func anEndlessBodyIsRefused(_ head: String) async throws {
    let outcome = try await outcome(.flood(head: head))
    #expect(outcome == .refused("the answer is larger than 16777216 bytes"))
  }

  @Test(arguments: [
    RawServer.Behaviour.textAndClose(""), .textAndClose("SSH-2.0-OpenSSH\r\n\r\n"),
    .textAndClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"flag\":true"),
    .text(http("200 OK", "", #"{"flag":true,"data":[{"UU"#)), .text(http("200 OK", "", "[]")),
    .text(http("500 Oops", "", "")), .text(http("520 Unknown", "", "<html>no</html>")),
  ])
  func damageMayBeAskedAgain(_ behaviour: RawServer.Behaviour) async throws {
    let outcome = try await outcome(behaviour)
    #expect(isFailed(outcome), "\(outcome)")
  }

  @Test func aRefusedConnectionMayBeAskedAgain() async throws {
    // Port 1 of the loopback: nobody listens.
    try await Self.withClient("http://127.0.0.1:1/api/v1") { client in
      let outcome = try await client.send(.job(uuid: "A1B2C3"), token: Self.token).outcome
      #expect(isFailed(outcome), "\(outcome)")
      #expect(!"\(outcome)".contains(Self.token))
    }
  }

  @Test func redirectsAreNotFollowed() async throws {
    let outcome = try await outcome(
      .text(Self.http("302 Found", "location: http://127.0.0.1:1/elsewhere\r\n", "")))
    #expect(outcome == .denied("Workiz answered 302: check base_url, redirects are not followed"))
  }

  @Test func cancellationEndsTheRequest() async throws {
    try await RawServer.with(.hang) { url in
      try await Self.withClient(url) { client in
        let task = Task { try await client.send(.job(uuid: "A1B2C3"), token: Self.token) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
      }
    }
  }

  @Test func anEchoedTokenIsHidden() async throws {
    let body = #"{"error":true,"code":500,"msg":"no route /api/v1/sim-acme/job"}"#
    #expect(
      try await outcome(.text(Self.http("500 Oops", "", body)))
        == .failed("Workiz answered 500 'no route /api/v1/[token]/job'"))
  }

  @Test func talksToTheSimulator() async throws {
    try await Simulated.with(.testing { $0.jobs = 120 }) { simulator, url in
      try await Self.withClient(url) { client in
        let jobs = simulator.world.accounts[0].jobs
        func send(_ request: WorkizRequest, _ token: String = Self.token) async throws
          -> WorkizOutcome
        {
          try await client.send(request, token: token).outcome
        }
        let live = try #require(jobs.first { $0.deletion == nil }).uuid
        guard case .answered(let envelope) = try await send(.job(uuid: live)),
          case .done(let document) = WorkizExtraction.document(in: envelope, uuid: live)
        else { throw SimulatedFailure() }
        #expect(document["UUID"] == .string(live))
        for job in jobs where job.deletion != nil {
          guard case .gone = try await send(.job(uuid: job.uuid)) else { throw SimulatedFailure() }
        }
        #expect(
          try await send(.job(uuid: live), "wrong/../token")
            == .denied(
              "Workiz answered 403 'Invalid API path or malformed API key.': check the token"))
        let discovery = try #require(
          try WorkizDiscovery(
            payload: JSON(
              parsing: Array(
                #"{"discover":{"start_date":"2020-01-01","only_open":false}}"#.utf8))))
        guard case .answered(let page) = try await send(.jobs(discovery, offset: 100)) else {
          throw SimulatedFailure()
        }
        #expect(page["data"]?.array?.count == 20 && page["found"] == .integer(120))
      }
    }
  }

  @Test func aNewConnectionIsNoticed() async throws {
    try await Simulated.with { simulator, url in
      try await Self.withClient(url) { client in
        let uuid = simulator.world.accounts[0].jobs[0].uuid
        let first = try await client.send(.job(uuid: uuid), token: Self.token)
        let second = try await client.send(.job(uuid: uuid), token: Self.token)
        #expect(first.mayBeLate && !second.mayBeLate)
      }
    }
  }

  @Test func a429SaysHowLongToWaitIfTheServiceDoes() async throws {
    try await Simulated.with(
      .testing {
        $0.limit = .strict
        $0.intervalMilliseconds = 60_000
      }
    ) { simulator, url in
      try await Self.withClient(url) { client in
        let request = WorkizRequest.job(uuid: simulator.world.accounts[0].jobs[0].uuid)
        _ = try await client.send(request, token: Self.token)
        var waits: Set<Int?> = []
        for _ in 0..<20 {
          guard
            case .throttled(let wait) = try await client.send(request, token: Self.token).outcome
          else { throw SimulatedFailure() }
          // As seconds it is exact; as a date it has the parts of a second.
          waits.insert(wait.map { ($0 + 1_999) / 60_000 * 60_000 })
        }
        #expect(waits == [nil, 60_000])
      }
    }
  }
}
