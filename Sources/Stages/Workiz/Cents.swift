/// Sums of money are added in cents: sums of binary fractions drift.
enum Cents {
  /// Nil for what is no plausible amount of money: not finite, or a million million and more.
  static func of(_ amount: Double) -> Int64? {
    abs(amount) < 1e12 ? Int64((amount * 100).rounded()) : nil
  }

  /// Nil when the sum is beyond 64 bits: a document may have any number of lines.
  static func sum(_ left: Int64, _ right: Int64) -> Int64? {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? nil : sum
  }

  static func number(_ cents: Int64) -> Double { Double(cents) / 100 }
}
