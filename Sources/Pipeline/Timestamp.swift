import FoundationEssentials

/// A moment in Unix milliseconds: what scores hold, and what RFC 3339 shows in hashes.
public struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let milliseconds: Int64

  public init(milliseconds: Int64) { self.milliseconds = milliseconds }

  /// Parses RFC 3339 with a zone (`2026-01-31T12:00:00Z`, `…T12:00:00.250+02:00`).
  public init?(rfc3339 text: String) {
    let plain = Date.ISO8601FormatStyle()
    let fractional = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    guard let date = (try? plain.parse(text)) ?? (try? fractional.parse(text)) else { return nil }
    milliseconds = Int64((date.timeIntervalSince1970 * 1000).rounded())
  }

  /// RFC 3339 in UTC with milliseconds.
  public var description: String {
    // Foundation truncates to milliseconds; half of one keeps a binary fraction from losing a whole one.
    Date(timeIntervalSince1970: (Double(milliseconds) + 0.5) / 1000)
      .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }

  public static func < (left: Timestamp, right: Timestamp) -> Bool {
    left.milliseconds < right.milliseconds
  }
}
