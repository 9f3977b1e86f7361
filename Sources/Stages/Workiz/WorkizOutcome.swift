import Pipeline

/// What one request to the service came to, as far as it decides what to do next.
enum WorkizOutcome: Sendable, Equatable {
  /// The envelope of an answer that is what was asked for.
  case answered(JSON)
  /// The job was deleted.
  case gone(String)
  /// The service will not answer this question, however often it is asked.
  case refused(String)
  /// The service will not answer any question of this account: its token or the base URL is wrong.
  case denied(String)
  /// Too many requests; nil when the service did not say how long to wait.
  case throttled(afterMilliseconds: Int?)
  /// No usable answer; asking again may help.
  case failed(String)

  /// Reads an answer (FACTS.md section 1, errors).
  /// - Parameter token: what must not appear in a message, even if the service repeats it.
  init(status: Int, retryAfter: String?, body: [UInt8], token: String) {
    let json = try? JSON(parsing: body)
    let detail = Self.detail(json, body, token)
    let afterMilliseconds = retryAfter.flatMap { RetryAfter.milliseconds($0) }
    switch status {
    case 200 where json?.object != nil:
      self = Self.envelope(json ?? .null, detail)
    case 200: self = .failed("Workiz answered 200 with damaged JSON (\(body.count) bytes)")
    case 204: self = .gone("gone: Workiz answers 204, the job was deleted")
    case 429: self = .throttled(afterMilliseconds: afterMilliseconds)
    case 503 where afterMilliseconds != nil:
      self = .throttled(afterMilliseconds: afterMilliseconds)
    default: self = Self.error(status, detail)
    }
  }

  /// Errors also come under HTTP 200, told by `flag` and `error`.
  private static func envelope(_ json: JSON, _ detail: String) -> WorkizOutcome {
    let code = json["code"].flatMap(Lenient.integer)
    if json["flag"] == .bool(false) {
      let text = (json["msg"]?.string ?? "").lowercased()
      if text.contains("not found") { return .gone("gone: Workiz answers '\(text)'") }
      return error(code ?? 500, detail)
    }
    if json["error"] == .bool(true) || json["success"] == .bool(false) {
      return code == 429 ? .throttled(afterMilliseconds: nil) : error(code ?? 500, detail)
    }
    return .answered(json)
  }

  private static func error(_ status: Int, _ detail: String) -> WorkizOutcome {
    let text = "Workiz answered \(status)\(detail)"
    return switch status {
    case 401, 403: .denied("\(text): check the token")
    case 300..<400: .denied("\(text): check base_url, redirects are not followed")
    case 404: .denied("\(text): check base_url")
    case 408, 425: .failed(text)
    case 400..<500: .refused(text)
    default: .failed(text)
    }
  }

  /// What the service says about an error, short and without the token.
  private static func detail(_ json: JSON?, _ body: [UInt8], _ token: String) -> String {
    guard let json else {
      return body.isEmpty ? "" : " with a body that is not JSON (\(body.count) bytes)"
    }
    let texts = ["message", "msg", "data", "details"].compactMap { json[$0]?.string }
    guard let text = texts.first(where: { !$0.isEmpty }) else { return "" }
    return " '\(hide(token, in: text).prefix(200))'"
  }

  /// `text` with the token, plain or percent-encoded, replaced.
  static func hide(_ token: String, in text: String) -> String {
    guard !token.isEmpty else { return text }
    return text.replacing(token, with: "[token]")
      .replacing(WorkizRequest.encode(token), with: "[token]")
  }
}
