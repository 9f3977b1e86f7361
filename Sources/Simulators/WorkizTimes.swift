import FoundationEssentials

/// The forms in which Workiz writes times: no zone, a space between date and time.
enum WorkizTimes {
  private static let form = Date.ISO8601FormatStyle(
    dateSeparator: .dash, dateTimeSeparator: .space, timeSeparator: .colon, timeZone: .gmt
  ).year().month().day().time(includingFractionalSeconds: false)

  /// `YYYY-MM-DD HH:MM:SS` of a local time given as seconds since 1970-01-01 00:00:00 local.
  static func text(_ seconds: Int64) -> String {
    Date(timeIntervalSince1970: Double(seconds)).formatted(form)
  }

  /// Local seconds at the start of a day given as yyyy-MM-dd; nil for any other text.
  static func day(_ text: String) -> Int64? {
    let shape = text.utf8.map { (48...57).contains($0) ? UInt8(ascii: "0") : $0 }
    guard String(decoding: shape, as: UTF8.self) == "0000-00-00" else { return nil }
    let style = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day()
    guard let date = try? style.parse(text), date.formatted(style) == text else { return nil }
    return Int64(date.timeIntervalSince1970)
  }
}
