import Pipeline
import Testing
import Worker

@testable import Stages

/// An endpoint whose answer has no length of its own, so that it ends just as one that broke off does.
@Suite(.timeLimit(.minutes(1))) struct CutAnswerTests {
  private static func verdict(
    _ body: String, items: [String]
  ) async throws -> HandlerEnd.Verdict {
    let job = StageJob(
      batch: "b1", operation: "b1", account: nil, pipeline: "p", stage: .extraction, run: 1,
      attempt: 1, number: 0, fence: Fence(epoch: 1, counter: 1),
      items: items.map { Item(id: $0, value: .string($0)) }, itemCount: items.count, payload: nil,
      cursor: nil)
    var end = HandlerEnd(verdict: .done)
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    try await RawServer.with(.textAndClose(head + body)) { url in
      let handler = try HTTPHandler(HTTPConfiguration(url: url), retries: 3)
      end = try await handler.call(HandlerCall(job, inputs: HandlerInputs(.object([:])))) { _ in }
    }
    return end.verdict
  }

  @Test func whatItDoesNotMentionIsNotDone() async throws {
    for (body, items) in [("{\"item\":\"A1\"}\n", ["A1", "A2"]), ("", ["A1"]), ("", [])] {
      guard case .retry(let reason, _) = try await Self.verdict(body, items: items) else {
        Issue.record("\(items) are done after \(body)")
        continue
      }
      #expect(reason.contains("nobody can tell whether the answer is whole"))
    }
  }

  @Test func whatNamesEverythingIsWhole() async throws {
    for (body, items) in [
      ("{\"item\":\"A1\"}\n{\"item\":\"A2\",\"error\":\"e\"}", ["A1", "A2"]),
      ("{\"output\":1}", []),
    ] {
      let verdict = try await Self.verdict(body, items: items)
      #expect(verdict == .done)
    }
  }
}
