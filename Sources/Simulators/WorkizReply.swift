import Foundation
import Pipeline

/// What the service answers: the envelopes of FACTS.md section 1.
struct WorkizReply {
  var status: Int
  var contentType = "application/json"
  var retryAfter: String?
  var body: [UInt8]

  static func json(_ status: Int, _ members: [String: JSON]) -> WorkizReply {
    WorkizReply(status: status, body: JSON.object(members).bytes)
  }

  static func job(_ document: JSON) -> WorkizReply {
    json(200, ["flag": .bool(true), "data": .array([document]), "code": .integer(200)])
  }

  static func deleted(_ deletion: WorkizWorld.Job.Deletion) -> WorkizReply {
    switch deletion {
    case .noContent: WorkizReply(status: 204, body: [])
    case .notFound: json(200, ["flag": .bool(false), "msg": .string("job Not Found")])
    }
  }

  static let badInput = json(
    400, ["flag": .bool(false), "code": .integer(400), "data": .string("bad input parameter")])

  static let forbidden = json(
    403,
    [
      "success": .bool(false), "error": .string("Forbidden"),
      "message": .string("Invalid API path or malformed API key."),
    ])

  static let missingSecret = error(401, "Unauthorized", "auth_secret is missing")
  static let unknownRoute = error(404, "Invalid end point", "")
  static let serverError = error(500, "Something went wrong", "simulated fault")

  static let html520 = WorkizReply(
    status: 520, contentType: "text/html; charset=UTF-8",
    body: Array(
      """
      <!DOCTYPE html><html><head><title>520: Web server is returning an unknown error</title></head>
      <body><h1>Error 520</h1><p>simulated fault</p></body></html>
      """.utf8))

  /// A 429; `retryAfterNanoseconds` nil leaves the header out.
  static func throttled(retryAfterNanoseconds: Int64?, asDate: Bool = false) -> WorkizReply {
    var reply = error(429, "Too Many Requests", "")
    guard let nanoseconds = retryAfterNanoseconds else { return reply }
    let seconds = Double((nanoseconds + 999_999_999) / 1_000_000_000)
    // The date has whole seconds only: one more, so that it is never early.
    reply.retryAfter =
      asDate ? httpDate(Date(timeIntervalSinceNow: seconds + 1)) : String(Int(seconds))
    return reply
  }

  /// The first half of the body, under a length that fits it: only the JSON shows the damage.
  func truncated() -> WorkizReply {
    var reply = self
    reply.body = Array(body.prefix(body.count / 2))
    return reply
  }

  private static func error(_ code: Int, _ message: String, _ details: String) -> WorkizReply {
    json(
      code,
      [
        "error": .bool(true), "code": .integer(Int64(code)), "msg": .string(message),
        "details": .string(details),
      ])
  }

  /// RFC 9110 section 5.6.7.
  private static func httpDate(_ date: Date) -> String {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(secondsFromGMT: 0)
    formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return formatter.string(from: date)
  }
}
