import Foundation
import Pipeline

/// The service's times: `YYYY-MM-DD HH:MM:SS` without a zone, beside an IANA zone name.
enum WorkizTime {
  /// The moment of a local time. A time that a clock skipped (the hour lost in spring) counts from before
  /// the skip; one that came twice is the first.
  /// - Returns: nil when `text` is not such a time or no such day exists.
  static func moment(_ text: String, in zone: TimeZone) -> Timestamp? {
    let shape = text.utf8.map { (48...57).contains($0) ? UInt8(ascii: "0") : $0 }
    guard String(decoding: shape, as: UTF8.self) == "0000-00-00 00:00:00" else { return nil }
    let numbers = text.split { "-: ".contains($0) }.compactMap { Int($0) }
    guard isDay(numbers[0], numbers[1], numbers[2]), numbers[3] < 24, numbers[4] < 60,
      numbers[5] < 60
    else { return nil }
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = zone
    let parts = DateComponents(
      year: numbers[0], month: numbers[1], day: numbers[2], hour: numbers[3], minute: numbers[4],
      second: numbers[5])
    return calendar.date(from: parts).map {
      Timestamp(milliseconds: Int64($0.timeIntervalSince1970.rounded()) * 1_000)
    }
  }

  /// Whether `text` is an existing day as `2026-01-31`.
  static func isDay(_ text: String) -> Bool {
    moment("\(text) 00:00:00", in: .gmt) != nil
  }

  private static func isDay(_ year: Int, _ month: Int, _ day: Int) -> Bool {
    guard year > 0, (1...12).contains(month), day > 0 else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return day <= days[month - 1]
  }
}
