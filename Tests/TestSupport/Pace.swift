import Foundation

/// How much longer everything takes than it should: a sanitizer makes the programs many times slower, and is about what
/// they do, not about how fast.
public enum Pace {
  /// BATCHD_SLOWNESS, by which time limits are multiplied; 1 without it.
  public static let slowness =
    ProcessInfo.processInfo.environment["BATCHD_SLOWNESS"].flatMap { Int($0) } ?? 1
  /// Whether speeds are judged, or only printed.
  public static var isJudged: Bool { slowness == 1 }
}
