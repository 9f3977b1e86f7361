/// The rule for the names that become part of a Redis key: ids of batches and operations, accounts,
/// pipelines, workers (DESIGN.md section 4).
public enum Identifier {
  /// The rule as a person reads it.
  public static let rule = "1 to 128 characters of A-Z a-z 0-9 . _ -"

  /// Whether `text` matches `[A-Za-z0-9._-]{1,128}`.
  public static func isValid(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }
}
