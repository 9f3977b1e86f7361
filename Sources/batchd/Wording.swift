internal import Pipeline
internal import Queue

/// Numbers and times as a person reads them.
enum Wording {
  /// `1,234,567`
  static func count(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    var text = value < 0 ? "-" : ""
    for (at, digit) in digits.enumerated() {
      if at > 0 && (digits.count - at).isMultiple(of: 3) { text.append(",") }
      text.append(digit)
    }
    return text
  }

  /// `1 batch`, `2 batches`
  static func count(_ value: Int, _ one: String, _ many: String) -> String {
    "\(count(value)) \(value == 1 ? one : many)"
  }

  /// `850ms`, `12s`, `3m05s`, `2h07m`, `4d03h`
  static func duration(milliseconds: Int) -> String {
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let seconds = milliseconds / 1000
    return switch seconds {
    case ..<1: "\(max(milliseconds, 0))ms"
    case ..<60: "\(seconds)s"
    case ..<3_600: "\(seconds / 60)m\(two(seconds % 60))s"
    case ..<86_400: "\(seconds / 3_600)h\(two(seconds / 60 % 60))m"
    default: "\(seconds / 86_400)d\(two(seconds / 3_600 % 24))h"
    }
  }

  static func noWorker(_ keys: Keys) -> String {
    "no worker is running: it waits in \(keys.enqueue) until one starts"
  }

  /// From one RFC 3339 text to another, in milliseconds.
  static func milliseconds(from start: String?, to end: String?) -> Int? {
    guard let start = start.flatMap(Timestamp.init(rfc3339:)),
      let end = end.flatMap(Timestamp.init(rfc3339:))
    else { return nil }
    return Int(end.milliseconds - start.milliseconds)
  }

  /// `12:34:56` of an RFC 3339 text in UTC.
  static func clock(_ rfc3339: String?) -> String {
    String((rfc3339 ?? "").dropFirst(11).prefix(8))
  }
}
