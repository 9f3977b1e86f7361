import Foundation
import Pipeline

/// Reads values whose types the service changes from answer to answer (FACTS.md section 1). Each answers
/// nil for what cannot be read.
enum Lenient {
  /// A text that is not blank; numbers in their shortest form.
  static func text(_ value: JSON) -> String? {
    switch value {
    case .string(let text):
      let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
      return trimmed.isEmpty ? nil : trimmed
    case .integer(let number): return String(number)
    case .number(let number): return String(number)
    default: return nil
    }
  }

  static func integer(_ value: JSON) -> Int? {
    switch value {
    case .integer(let number): Int(number)
    case .number(let number): Int(exactly: number)
    case .string(let text): Int(text.trimmingCharacters(in: .whitespaces))
    default: nil
    }
  }

  static func bool(_ value: JSON) -> Bool? {
    switch value {
    case .bool(let flag): flag
    case .integer(0), .string("0"), .string("false"): false
    case .integer(1), .string("1"), .string("true"): true
    default: nil
    }
  }

  /// A finite number; texts may have a dollar sign and commas between thousands.
  static func number(_ value: JSON) -> Double? {
    switch value {
    case .integer(let number): return Double(number)
    case .number(let number): return number.isFinite ? number : nil
    case .string(let text):
      let digits = text.filter { !"$, ".contains($0) }
      guard digits.allSatisfy({ "0123456789.-+eE".contains($0) }) else { return nil }
      return Double(digits).flatMap { $0.isFinite ? $0 : nil }
    default: return nil
    }
  }

  /// A text, or the texts of an array of texts or of `[{"Comment": …}]`, one a line.
  static func comments(_ value: JSON) -> String? {
    guard let list = value.array else { return text(value) }
    let texts = list.compactMap { text($0["Comment"] ?? $0) }
    return texts.isEmpty ? nil : texts.joined(separator: "\n")
  }

  /// Whether the service left the value out: absent, null or a blank text.
  static func isBlank(_ value: JSON?) -> Bool {
    switch value {
    case nil, .null: true
    case .string(let text): text.allSatisfy(\.isWhitespace)
    default: false
    }
  }
}
