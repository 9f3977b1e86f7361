import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Pipeline
import Synchronization

/// Sends requests to the service, one HTTP request per call: no retries and no redirects of its own,
/// because each request needs a permission of the gate.
final class WorkizClient: Sendable {
  /// An outcome, and whether a connection was being made while the request was under way.
  struct Answer: Sendable {
    let outcome: WorkizOutcome
    let mayBeLate: Bool
  }

  static let maximumResponseBytes = 16 << 20

  private let configuration: WorkizConfiguration
  private let http: HTTPClient
  private let connections: ConnectionCount

  /// - Throws: `StagesError` when a setting is out of its range.
  init(_ configuration: WorkizConfiguration) throws(StagesError) {
    try configuration.validate()
    self.configuration = configuration
    let connections = ConnectionCount()
    self.connections = connections
    var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
    settings.httpVersion = .http1Only
    settings.timeout.connect = .milliseconds(Int64(configuration.timeoutMilliseconds))
    // A request that waits in the pool for a connection would arrive later than its permission says.
    settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4_096
    settings.connectionPool.retryConnectionEstablishment = false
    settings.http1_1ConnectionDebugInitializer = { channel in
      connections.add()
      return channel.eventLoop.makeSucceededVoidFuture()
    }
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  /// Closes the connections. Call it once, when no request is under way.
  func close() async throws { try await http.shutdown() }

  /// Sends one request and reads the whole answer.
  /// - Throws: `CancellationError` only; all that can go wrong is an outcome.
  func send(_ request: WorkizRequest, token: String) async throws -> Answer {
    let before = connections.value
    let outcome = try await within(configuration.timeoutMilliseconds) { [self] in
      try await exchange(request, token)
    } otherwise: { error in
      Self.outcome(of: error, token)
    }
    return Answer(outcome: outcome, mayBeLate: connections.value != before)
  }

  private func exchange(_ request: WorkizRequest, _ token: String) async throws -> WorkizOutcome {
    var message = HTTPClientRequest(url: request.url(base: configuration.baseURL, token: token))
    message.headers.add(name: "accept", value: "application/json")
    message.headers.add(name: "user-agent", value: "batchd")
    let response = try await http.execute(message, deadline: .distantFuture)
    let body = try await response.body.collect(upTo: Self.maximumResponseBytes)
    // A cancelled body ends early without an error.
    try Task.checkCancellation()
    return WorkizOutcome(
      status: Int(response.status.code), retryAfter: response.headers.first(name: "retry-after"),
      body: Array(body.readableBytesView), token: token)
  }

  /// Runs `work` against the clock. The HTTP client's own deadline ends with the head of the answer;
  /// a server that sends a byte a minute would hold a slot for ever.
  private func within(
    _ milliseconds: Int, _ work: @escaping @Sendable () async throws -> WorkizOutcome,
    otherwise outcome: (any Error) -> WorkizOutcome
  ) async throws -> WorkizOutcome {
    do {
      return try await withThrowingTaskGroup(of: WorkizOutcome.self) { group in
        group.addTask(operation: work)
        group.addTask {
          try await Task.sleep(for: .milliseconds(milliseconds))
          return .failed("Workiz gave no complete answer within \(milliseconds) ms")
        }
        defer { group.cancelAll() }
        return try await group.next()!
      }
    } catch {
      try Task.checkCancellation()
      return outcome(error)
    }
  }

  private static func outcome(of error: any Error, _ token: String) -> WorkizOutcome {
    switch error {
    case is NIOTooManyBytesError:
      .refused("the answer is larger than \(maximumResponseBytes) bytes")
    case let error as HTTPClientError:
      .failed("no answer from Workiz: \(error.shortDescription)")
    default:
      .failed(
        "no answer from Workiz: "
          + WorkizOutcome.hide(token, in: String(describing: error)).prefix(300))
    }
  }
}

/// How many connections were made so far.
private final class ConnectionCount: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .sequentiallyConsistent) }
  func add() { count.add(1, ordering: .sequentiallyConsistent) }
}
