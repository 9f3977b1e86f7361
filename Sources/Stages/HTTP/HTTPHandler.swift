internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
public import Pipeline
internal import Synchronization
public import Worker

/// Posts each stage job, or each of its items, to an endpoint (DESIGN.md section 7).
///
/// The body is one JSON object (`HandlerCall`); the answer says what was done, one JSON object a line (`HandlerLine`),
/// each of which is kept as it arrives. 2xx: done. 408, 425, 429, 5xx and no answer: try again, after `Retry-After` if
/// there is one. Any other status: failed for good; redirects are not followed.
///
/// `Idempotency-Key: ID/RUN/STAGE` (with items one by one `ID/RUN/STAGE/ITEM`, percent-encoded) is the same whenever the
/// same work is asked for again; `Batchd-Fence` grows with each that may be working on it.
public struct HTTPHandler: StageHandler {
  /// Up to this size a body is read once. A larger one is read twice, so that it need not be held: its length and its
  /// signature stand before it.
  private static let heldBytes = 1 << 20

  /// The status of an answer is known before its body, and says the most.
  private static let errorBodyPatience = Duration.seconds(2)

  /// How long a 429 that does not say it closes the gate: long enough that its rate sinks far below the interval, short
  /// enough to find out soon when the service serves again.
  private static let unknownBusyMilliseconds = 10_000

  /// For all stages, and as long as the process lives, as `HTTPClient.shared`: that one follows redirects.
  private static let client: HTTPClient = {
    var settings = HTTPClient.Configuration(redirectConfiguration: .disallow)
    settings.httpVersion = .http1Only
    settings.timeout.connect = .seconds(10)
    // Slots bound the requests; one that waits in the pool holds a permission of its gate meanwhile.
    settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4_096
    settings.connectionPool.retryConnectionEstablishment = false
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }()

  private let configuration: HTTPConfiguration
  private let feed: HandlerFeed
  private let limits: Limits

  /// - Parameters:
  ///   - gate: asked before each request; closed when the endpoint asks for it (429, or 503 with `Retry-After`).
  ///   - retries: those of the stage's `RetryPolicy`.
  /// - Throws: `StagesError` when a setting is not of its form.
  public init(
    _ configuration: HTTPConfiguration, gate: GateRule? = nil, feed: Feed = .batch, retries: Int,
    limits: Limits = Limits()
  ) throws(StagesError) {
    try configuration.validate()
    self.configuration = configuration
    self.feed = HandlerFeed(gate: gate, feed: feed, retries: retries)
    self.limits = limits
  }

  public func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    try await feed.run(job, context) { call, results in
      try await self.call(call, results: results)
    }
  }

  /// Sends one request, without gate, lease or Redis, as a worker does under them. Cancellation ends it at once.
  /// - Parameter results: is given the lines as they arrive, at most 100 at a time; while it works the endpoint waits.
  /// - Returns: how the request ended, whatever went wrong with it.
  /// - Throws: `CancellationError`, and what `results` or the call's inputs throw.
  public func call(
    _ call: HandlerCall, results: ([HandlerLine]) async throws -> Void
  ) async throws -> HandlerEnd {
    let request = try await request(call)
    let response: HTTPClientResponse
    do {
      response = try await Self.client.execute(request, deadline: .distantFuture)
    } catch {
      try Task.checkCancellation()
      return unanswered(error)
    }
    guard (200..<300).contains(response.status.code) else {
      let beginning = await Self.beginning(of: response.body)
      try Task.checkCancellation()
      return refused(response, beginning)
    }
    let end = try await listen(to: response, of: call, results)
    // A cancelled body ends early without an error.
    try Task.checkCancellation()
    return end
  }

  // MARK: The request

  private func request(_ call: HandlerCall) async throws -> HTTPClientRequest {
    var request = HTTPClientRequest(url: configuration.url)
    request.method = .POST
    for (name, value) in configuration.headers { request.headers.add(name: name, value: value) }
    if !request.headers.contains(name: "user-agent") {
      request.headers.add(name: "user-agent", value: "batchd")
    }
    request.headers.add(name: "content-type", value: "application/json")
    request.headers.add(name: "batchd-fence", value: call.job.fence.description)
    request.headers.add(name: "idempotency-key", value: key(of: call.job))
    var signature = configuration.signingSecret.map { HTTPSignature(secret: $0) }
    var held: [UInt8] = []
    var count = 0
    for try await piece in call.text {
      count += piece.count
      if count <= Self.heldBytes { held += piece } else { held = [] }
      signature?.update(piece)
    }
    if let signature { request.headers.add(name: "x-batchd-signature", value: signature.header) }
    request.body =
      count <= Self.heldBytes
      ? .bytes(ByteBuffer(bytes: held))
      : .stream(call.text.map { ByteBuffer(bytes: $0) }, length: .known(Int64(count)))
    return request
  }

  private func key(of job: StageJob) -> String {
    let key = "\(job.batch)/\(job.run)/\(job.stage.rawValue)"
    guard feed.feed == .item, job.items.count == 1 else { return key }
    let item = job.items[0].id.addingPercentEncoding(withAllowedCharacters: .urlQueryAllowed)
    return "\(key)/\(item ?? "")"
  }

  // MARK: The answer

  private func listen(
    to response: HTTPClientResponse, of call: HandlerCall,
    _ results: ([HandlerLine]) async throws -> Void
  ) async throws -> HandlerEnd {
    var output = HandlerOutput(
      "the answer", items: call.job.items, feed: feed.feed,
      limits: .init(outputBytes: limits.outputBytes, totalBytes: configuration.totalBytes))
    var body = response.body.makeAsyncIterator()
    while output.failure == nil {
      let bytes: ByteBuffer?
      do {
        bytes = try await body.next()
      } catch {
        try Task.checkCancellation()
        return unanswered(error)
      }
      try Task.checkCancellation()
      let lines = bytes.map { output.read(Array(buffer: $0)) } ?? output.end()
      for some in lines.chunks() { try await results(Array(some)) }
      if bytes == nil { break }
    }
    let status = Int(response.status.code)
    let text: String
    if let failure = output.failure {
      text = "\(failure) (answer with nothing, or one JSON object a line)"
    } else if output.isComplete || Self.hasEnd(response) {
      return HandlerEnd(verdict: .done, status: status)
    } else {
      text =
        "nobody can tell whether the answer is whole (give it a Content-Length or the chunked "
        + "encoding, or name every item)"
    }
    return HandlerEnd(
      verdict: .retry("\(configuration.name) answered \(status), but \(text)"), status: status)
  }

  /// Whether an answer that broke off could be told from a whole one. One that lasts as long as its connection cannot, and
  /// the items that it does not mention are not done for that.
  private static func hasEnd(_ response: HTTPClientResponse) -> Bool {
    response.status == .noContent || response.headers.contains(name: "content-length")
      || response.headers.contains(name: "transfer-encoding")
  }

  private func unanswered(_ error: any Error) -> HandlerEnd {
    let reason = (error as? HTTPClientError)?.shortDescription ?? "\(error)"
    return HandlerEnd(
      verdict: .retry("no whole answer from \(configuration.name): \(reason.printable(300))"))
  }

  private func refused(_ response: HTTPClientResponse, _ beginning: String) -> HandlerEnd {
    let status = Int(response.status.code)
    let hint = (300..<400).contains(status) ? " (redirects are not followed: check the url)" : ""
    let text =
      "\(configuration.name) answered \(status)\(hint)"
      + (beginning.isEmpty ? "" : ": \(beginning)")
    let mayRetry = [408, 425, 429].contains(status) || status >= 500
    guard mayRetry else { return HandlerEnd(verdict: .permanent(text), status: status) }
    let after = response.headers.first(name: "retry-after")
      .flatMap { RetryAfter.milliseconds($0) }
    return HandlerEnd(
      verdict: .retry(text, afterMilliseconds: after), status: status,
      busyMilliseconds: status == 429
        ? after ?? Self.unknownBusyMilliseconds : status == 503 ? after : nil)
  }

  /// Enough of an error's body to see what it is about. What follows, or does not come, is not waited for.
  private static func beginning(of body: HTTPClientResponse.Body) async -> String {
    await withTaskGroup(of: Void.self, returning: String.self) { group in
      let bytes = Mutex<[UInt8]>([])
      group.addTask {
        do {
          for try await more in body {
            let count = bytes.withLock { bytes in
              bytes += Array(buffer: more)
              return bytes.count
            }
            if count >= 1_024 { return }
          }
        } catch {}
      }
      group.addTask { try? await Task.sleep(for: errorBodyPatience) }
      await group.next()
      group.cancelAll()
      await group.waitForAll()
      return bytes.withLock { String(decoding: $0.prefix(1_024), as: UTF8.self).printable(500) }
    }
  }
}
