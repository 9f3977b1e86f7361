import Foundation

/// The `Retry-After` header, RFC 9110 section 10.2.3.
enum RetryAfter {
  /// Milliseconds from `now`, or nil for a text that is neither seconds nor an HTTP-date. A date that
  /// has passed is 0.
  static func milliseconds(_ header: String, now: Date = .now) -> Int? {
    let text = header.trimmingCharacters(in: .whitespaces)
    if let seconds = Int(text) {
      return seconds < 0 ? nil : min(seconds, maximumSeconds) * 1_000
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
