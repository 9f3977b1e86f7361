/// The ways in which the service fails for a while. Asking again helps with each of them.
enum WorkizFault: String, CaseIterable {
  /// 429 with `Retry-After` in seconds.
  case throttledSeconds
  /// 429 with `Retry-After` as an HTTP-date.
  case throttledDate
  /// 429 without `Retry-After`.
  case throttled
  /// A proxy's 520 with an HTML body.
  case html520
  /// 500 with the service's error envelope.
  case serverError
  /// 503 with no body.
  case unavailable
  /// 200 with JSON that ends in the middle.
  case truncated
  /// The connection is closed instead of an answer.
  case dropped
  /// The right answer, late by `slowMilliseconds`.
  case slow

  static let slowMilliseconds = 1_500

  /// The fault of an account's `number`th request, or nil; the same seed chooses the same ones.
  static func chosen(seed: UInt64, account: String, number: Int, share: Double) -> WorkizFault? {
    var generator = SeededGenerator(seed: seed, "fault", account, String(number))
    return generator.chance(share) ? generator.pick(allCases) : nil
  }
}
