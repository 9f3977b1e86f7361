import Foundation

/// The `Retry-After` header, RFC 9110 section 10.2.3.
enum RetryAfter {
  /// Milliseconds from `now`, or nil for a text that is neither seconds nor an HTTP-date. A date that
  /// has passed is 0. A fraction, which some services send, is rounded up.
  static func milliseconds(_ header: String, now: Date = .now) -> Int? {
    let text = header.trimmingCharacters(in: .whitespaces)
    // As a Double: more digits than an Int has are a long time, not a header that cannot be read.
    if text.wholeMatch(of: /\+?[0-9]+(\.[0-9]+)?/) != nil {
      let seconds = Double(text) ?? .infinity
      return Int(min(seconds.rounded(.up), Double(maximumSeconds))) * 1_000
    }
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(secondsFromGMT: 0)
    formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    guard let date = formatter.date(from: text) else { return nil }
    let seconds = date.timeIntervalSince(now)
    return Int(min(max(seconds, 0), Double(maximumSeconds)) * 1_000)
  }

  /// A service cannot shut an account out for longer with one header.
  static let maximumSeconds = 3_600
}
