import Foundation
import Pipeline
import Testing

@testable import Stages

@Suite struct WorkizOutcomeTests {
  private func outcome(_ status: Int, _ body: String, retryAfter: String? = nil) -> WorkizOutcome {
    WorkizOutcome(status: status, retryAfter: retryAfter, body: Array(body.utf8), token: "s3cret")
  }

  @Test func readsEveryErrorShape() {
    #expect(outcome(204, "") == .gone("gone: Workiz answers 204, the job was deleted"))
    #expect(
      outcome(200, #"{"flag":false,"msg":"job Not Found"}"#)
        == .gone("gone: Workiz answers 'job not found'"))
    #expect(
      outcome(400, #"{"flag":false,"code":400,"data":"bad input parameter"}"#)
        == .refused("Workiz answered 400 'bad input parameter'"))
    #expect(
      outcome(200, #"{"flag":false,"code":400,"data":"bad input parameter"}"#)
        == .refused("Workiz answered 400 'bad input parameter'"))
    #expect(
      outcome(200, #"{"error":true,"code":500,"msg":"oops","details":""}"#)
        == .failed("Workiz answered 500 'oops'"))
    #expect(outcome(200, #"{"error":true,"code":429}"#) == .throttled(afterMilliseconds: nil))
    #expect(
      outcome(404, "Invalid end point")
        == .denied(
          "Workiz answered 404 with a body that is not JSON (17 bytes): check base_url"))
    #expect(outcome(401, "{}") == .denied("Workiz answered 401: check the token"))
    #expect(outcome(408, "") == .failed("Workiz answered 408"))
    #expect(
      outcome(520, "<html>s3cret</html>")
        == .failed("Workiz answered 520 with a body that is not JSON (19 bytes)"))
    #expect(outcome(503, "", retryAfter: "2") == .throttled(afterMilliseconds: 2_000))
    #expect(outcome(503, "") == .failed("Workiz answered 503"))
    #expect(outcome(200, #"{"data":[]}"#) == .answered(.object(["data": .array([])])))
  }

  @Test func readsRetryAfter() throws {
    let now = Date(timeIntervalSince1970: 784_111_777)  // Sun, 06 Nov 1994 08:49:37 GMT
    #expect(RetryAfter.milliseconds("30", now: now) == 30_000)
    #expect(RetryAfter.milliseconds(" 0 ", now: now) == 0)
    #expect(RetryAfter.milliseconds("-1", now: now) == nil)
    #expect(RetryAfter.milliseconds("soon", now: now) == nil)
    #expect(RetryAfter.milliseconds("99999999999", now: now) == 3_600_000)
    #expect(RetryAfter.milliseconds("99999999999999999999", now: now) == 3_600_000)
    #expect(RetryAfter.milliseconds(String(repeating: "9", count: 400), now: now) == 3_600_000)
    #expect(RetryAfter.milliseconds("30.5", now: now) == 31_000)
    #expect(RetryAfter.milliseconds("-0.5", now: now) == nil)
    #expect(RetryAfter.milliseconds("1e3", now: now) == nil)
    #expect(RetryAfter.milliseconds("Sun, 06 Nov 1994 08:50:37 GMT", now: now) == 60_000)
    #expect(RetryAfter.milliseconds("Sun, 06 Nov 1994 08:00:00 GMT", now: now) == 0)
    #expect(RetryAfter.milliseconds("Sun, 06 Nov 2094 08:00:00 GMT", now: now) == 3_600_000)
  }

  @Test func pausesAsAskedOrGrowing() {
    let configuration = WorkizConfiguration { _ in nil }
    func pause(_ asked: Int?, _ count: Int) -> Int {
      WorkizSession.pause(asked, count: count, configuration)
    }
    #expect([1, 2, 3, 4, 9].map { pause(nil, $0) } == [15_000, 30_000, 60_000, 60_000, 60_000])
    #expect(pause(5_000, 9) == 5_000)
    #expect(pause(0, 1) == 1_000)
  }

  @Test func theTokenIsEncodedInTheAddress() throws {
    let url = WorkizRequest.job(uuid: "A1B2C3").url(base: "https://h/api/v1/", token: "a/b?c d")
    #expect(url == "https://h/api/v1/a%2Fb%3Fc%20d/job/get/A1B2C3/")
    let discovery = try #require(
      try WorkizDiscovery(
        payload: .object([
          "discover": .object(["status": .array([.string("In Progress"), .string("Done")])])
        ])))
    #expect(
      WorkizRequest.jobs(discovery, offset: 7).url(base: "http://h", token: "t")
        == "http://h/t/job/all/?offset=7&records=100&status=In%20Progress&status=Done")
  }

  @Test func refusesSettingsOutOfRange() {
    for change: (inout WorkizConfiguration) -> Void in [
      { $0.baseURL = "api.workiz.com" }, { $0.baseURL = "ftp://h" },
      { $0.baseURL = "https://h?x=1" },
      { $0.intervalMilliseconds = 0 }, { $0.timeoutMilliseconds = 0 }, { $0.batchSize = 0 },
      { $0.throttledMilliseconds = 0 },
    ] {
      var configuration = WorkizConfiguration { _ in nil }
      change(&configuration)
      #expect(throws: StagesError.self) { try configuration.validate() }
    }
  }
}
