import Foundation
import NIOHTTP1
import Pipeline
import TestSupport
import Testing

@testable import Stages

/// An endpoint, what it is sent, and what its answers mean.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HTTPHandlerTests {
  @Test func postsTheInputAndTakesTheLines() async throws {
    let inputs = JSON.object(["setup": .object(["output": .string("s")])])
    try await Endpoint.with { _ in
      .init(pieces: ["{\"item\":\"A1\",\"output\":1}\n{\"item\":\"A2\",\"err", "or\":\"no\"}"])
    } use: { endpoint, url in
      let called = try await Called.post(url, inputs: inputs) { $0.headers = ["X-Key": "k"] }
      #expect(called.end == HandlerEnd(verdict: .done, status: 200))
      #expect(called.lines == [.item("A1", .done(.integer(1))), .retry("A2", error: "no")])
      let request = try #require(endpoint.requests.first)
      #expect(request.head.method == .POST)
      #expect(request.header("content-type") == "application/json")
      #expect(request.header("idempotency-key") == "b1/2/annotation")
      #expect(request.header("batchd-fence") == "4-5")
      #expect(request.header("x-key") == "k")
      #expect(request.header("user-agent") == "batchd")
      #expect(request.header("x-batchd-signature") == nil)
      #expect(request.header("content-length") == "\(request.body.count)")
      let body = try JSON(parsing: request.body)
      #expect(body["inputs"] == inputs)
      #expect(body["items"] == .array([.string("A1"), .string("A2")]))
    }
  }

  @Test func anItemAloneHasAKeyOfItsOwn() async throws {
    try await Endpoint.with { _ in
      .init(pieces: ["{\"output\":[]}"])
    } use: { endpoint, url in
      let called = try await Called.post(url, items: ["A/1\né"], feed: .item)
      #expect(called.lines == [.item("A/1\né", .done(.array([])))])
      #expect(
        endpoint.requests.first?.header("idempotency-key") == "b1/2/annotation/A/1%0A%C3%A9")
    }
  }

  @Test func anEmptyAnswerIsDone() async throws {
    for reply in [Endpoint.Reply(), .init(status: 204), .init(status: 202, pieces: ["\n"])] {
      try await Endpoint.with { _ in
        reply
      } use: { _, url in
        let called = try await Called.post(url)
        #expect(called.end == HandlerEnd(verdict: .done, status: reply.status))
        #expect(called.lines == [])
      }
    }
  }

  /// The endpoint goes on only when its first line was taken.
  @Test func aLineIsGivenOnBeforeTheNextComes() async throws {
    let taken = AsyncStream.makeStream(of: Void.self)
    try await Endpoint.with { _ in
      .init(
        pieces: ["{\"item\":\"A1\"}\n", "{\"item\":\"A2\"}\n"],
        pause: { for await _ in taken.stream { break } })
    } use: { _, url in
      let handler = try HTTPHandler(HTTPConfiguration(url: url), retries: 0)
      var reports: [[HandlerLine]] = []
      let call = HandlerCall(.test(items: ["A1", "A2"]), inputs: HandlerInputs(.null))
      let end = try await handler.call(call) { lines in
        reports.append(lines)
        taken.continuation.yield()
      }
      #expect(end.verdict == .done)
      #expect(reports == [[.item("A1", .done(.null))], [.item("A2", .done(.null))]])
    }
  }

  @Test(arguments: [
    (408, "retry"), (425, "retry"), (429, "retry"), (500, "retry"), (503, "retry"), (599, "retry"),
    (400, "permanent"), (401, "permanent"), (404, "permanent"), (422, "permanent"),
  ])
  func theStatusDecides(_ status: Int, _ verdict: String) async throws {
    let long = "why\u{1B} " + String(repeating: "x", count: 100_000)
    try await Endpoint.with { _ in
      .init(status: status, pieces: [long])
    } use: { _, url in
      let called = try await Called.post(url)
      let host = try #require(URLComponents(string: url)?.port.map { "127.0.0.1:\($0)" })
      #expect(called.text.hasPrefix("\(verdict): \(host) answered \(status): why· xxx"))
      #expect(called.text.count < 600)
      #expect(called.end.status == status)
      // Its query may hold a token.
      #expect(!called.text.contains("secret"))
    }
  }

  @Test func anErrorWhoseBodyDoesNotComeIsKnownAllTheSame() async throws {
    let head = "HTTP/1.1 503 No\r\ncontent-length: 1000000\r\n\r\nbusy"
    try await RawServer.with(.text(head)) { url in
      let called = try await Called.post(url)
      #expect(called.text.hasSuffix("answered 503: busy"))
    }
  }

  @Test func redirectsAreNotFollowed() async throws {
    try await Endpoint.with { _ in
      .init(status: 302, headers: [("location", "/else")])
    } use: {
      endpoint, url in
      let called = try await Called.post(url)
      #expect(called.text.hasPrefix("permanent: "))
      #expect(called.text.hasSuffix("answered 302 (redirects are not followed: check the url)"))
      #expect(endpoint.requests.count == 1)
    }
  }

  @Test func retryAfterIsHonoured() async throws {
    for (status, busy) in [(429, 7_000), (503, 7_000), (500, nil)] as [(Int, Int?)] {
      try await Endpoint.with { _ in
        .init(status: status, headers: [("retry-after", "7")])
      } use: {
        _, url in
        let end = try await Called.post(url).end
        guard case .retry(_, let after) = end.verdict else {
          Issue.record("\(end)")
          return
        }
        #expect(after == 7_000)
        #expect(end.busyMilliseconds == busy)
      }
    }
    try await Endpoint.with { _ in
      .init(status: 503)
    } use: { _, url in
      let end = try await Called.post(url).end
      #expect(end.busyMilliseconds == nil)
    }
  }

  /// A service that says no more than "too many" is not asked by everybody again at once.
  @Test(arguments: [[], [("retry-after", "soon")]] as [[(String, String)]])
  func tooManyRequestsWithoutATimeCloseTheGate(_ headers: [(String, String)]) async throws {
    try await Endpoint.with { _ in
      .init(status: 429, headers: headers)
    } use: { _, url in
      let end = try await Called.post(url).end
      #expect(end.busyMilliseconds == 10_000)
      guard case .retry(_, nil) = end.verdict else {
        Issue.record("\(end)")
        return
      }
    }
  }

  @Test func garbageIsNamedAndTriedAgain() async throws {
    try await Endpoint.with { _ in
      .init(pieces: ["{\"item\":\"A1\"}\nOK"])
    } use: { _, url in
      let called = try await Called.post(url)
      #expect(
        called.text.contains(" answered 200, but line 2 of the answer is not JSON: OK (answer with")
      )
      #expect(called.text.hasPrefix("retry: "))
      #expect(called.lines == [.item("A1", .done(.null))])
    }
  }

  @Test func whatIsNotHTTPIsTriedAgain() async throws {
    let replies: [RawServer.Behaviour] = [
      .textAndClose(""), .textAndClose("SSH-2.0-OpenSSH\r\n"),
      .textAndClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"item\":\"A1\"}\n"),
    ]
    for reply in replies {
      try await RawServer.with(reply) { url in
        let called = try await Called.post(url)
        #expect(called.text.hasPrefix("retry: no whole answer from 127.0.0.1:"), "\(reply)")
        #expect(called.end.status == nil)
      }
    }
    let port = try freePort()
    let refused = try await Called.post("http://127.0.0.1:\(port)/")
    #expect(refused.text.hasPrefix("retry: no whole answer from 127.0.0.1:\(port): "))
    let nameless = try await Called.post("http://no-such-host.invalid/")
    #expect(nameless.text.hasPrefix("retry: no whole answer from no-such-host.invalid: "))
  }

  @Test func anAnswerWithoutEndIsCutOff() async throws {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
    try await RawServer.with(.flood(head: head)) { url in
      let called = try await Called.post(url) { $0.totalBytes = 1 << 20 }
      #expect(called.text.contains("the answer has more than 1048576 bytes"))
    }
    try await RawServer.with(
      .flood(head: "HTTP/1.1 500 No\r\ncontent-length: 100000000000\r\n\r\n")
    ) { url in
      let called = try await Called.post(url)
      #expect(called.end.status == 500)
    }
  }

  @Test(arguments: [
    RawServer.Behaviour.hang, .drip(head: "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"),
    .drip(head: "HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n"),
    .drip(head: "HTTP/1.1 200 OK\r\nx-endless: "),
  ])
  func cancellationEndsTheRequestAtOnce(_ behaviour: RawServer.Behaviour) async throws {
    let (arrived, arrival) = AsyncStream.makeStream(of: Void.self)
    let onRequest: @Sendable () -> Void = { arrival.yield() }
    try await RawServer.with(behaviour, onRequest: onRequest) { url in
      let task = Task { try await Called.post(url) }
      for await _ in arrived { break }
      let start = ContinuousClock.now
      task.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      #expect(ContinuousClock.now - start < .seconds(5) * Pace.slowness)
    }
  }

  @Test func aLargeInputIsStreamedWithItsLengthAndItsSignature() async throws {
    let ids = (0..<64).map { "I\($0)" }
    let inputs = JSON.object([
      "setup": .object([
        "items": .object(
          .init(
            uniqueKeysWithValues: ids.map { ($0, .string(String(repeating: "y", count: 50_000))) }))
      ])
    ])
    try await Endpoint.with { _ in
      .init()
    } use: { endpoint, url in
      let called = try await Called.post(url, inputs: inputs) { $0.signingSecret = "s3cret" }
      #expect(called.end.verdict == .done)
      let request = try #require(endpoint.requests.first)
      #expect(request.body.count > 3_200_000)
      #expect(request.header("content-length") == "\(request.body.count)")
      let body = try JSON(parsing: request.body)
      #expect(body["inputs"] == inputs)
      try await verify(request, "s3cret")
    }
  }

  @Test func aSmallInputIsSigned() async throws {
    try await Endpoint.with { _ in
      .init()
    } use: { endpoint, url in
      _ = try await Called.post(url) { $0.signingSecret = "s3cret" }
      try await verify(try #require(endpoint.requests.first), "s3cret")
    }
  }

  /// As an endpoint would, with another program's HMAC.
  private func verify(_ request: Endpoint.Request, _ secret: String) async throws {
    let header = try #require(request.header("x-batchd-signature"))
    let match = try #require(header.wholeMatch(of: /t=([0-9]+),v1=([0-9a-f]{64})/))
    let seconds = try #require(Double(match.1))
    #expect(abs(Date.now.timeIntervalSince1970 - seconds) < 60)
    let folder = try TestFolder()
    try (Data("\(match.1).".utf8) + Data(request.body)).write(
      to: URL(filePath: "\(folder.path)/body"))
    let openssl = try await Called.sh(
      #"printf '{"output":"%s"}' "$(openssl dgst -sha256 -hmac "$0" -r body | cut -c1-64)""#
        .replacing("$0", with: secret)
    ) { $0.directory = folder.path }
    #expect(openssl.lines == [.output(.string(String(match.2)))])
  }

  @Test func settingsThatCannotBeAreRefused() throws {
    func refusal(_ change: (inout HTTPConfiguration) -> Void) -> String? {
      var configuration = HTTPConfiguration(url: "https://example.com/x?y=1")
      change(&configuration)
      do {
        _ = try HTTPHandler(configuration, retries: 0)
        return nil
      } catch { return error.message }
    }
    #expect(refusal { _ in } == nil)
    for url in ["", "example.com", "ftp://a/", "http://", "http://u:p@a/", "http://a/#x"] {
      #expect(refusal { $0.url = url }?.contains("url must be") == true, "\(url)")
    }
    #expect(refusal { $0.headers = ["A B": ""] }?.contains("name of a header") == true)
    #expect(refusal { $0.headers = ["A": "x\r\nB: y"] }?.contains("control character") == true)
    #expect(refusal { $0.url = "http://a:65536/" }?.contains("port of 1 to 65535") == true)
    #expect(refusal { $0.headers = ["A": "x\ty"] }?.contains("control character") == true)
    #expect(refusal { $0.headers = ["Content-Type": "x"] }?.contains("batchd itself") == true)
    #expect(refusal { $0.signingSecret = "" }?.contains("secret is empty") == true)
    #expect(refusal { $0.totalBytes = 0 }?.contains("above 0") == true)
  }
}
