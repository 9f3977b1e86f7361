/// Sums of money are added in cents: sums of binary fractions drift.
enum Cents {
  /// Nil for what is no plausible amount of money: not finite, or a million million and more.
  static func of(_ amount: Double) -> Int64? {
    abs(amount) < 1e12 ? Int64((amount * 100).rounded()) : nil
  }

  static func number(_ cents: Int64) -> Double { Double(cents) / 100 }
}
