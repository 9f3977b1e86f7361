/// Finds the functions that are too long to be seen at once.
///
/// Relies on `swift format` (and on the same habit in Lua): a body ends at the first line that begins
/// with its closing word at the indentation of the declaration.
enum FunctionLength {
  /// Lines that one function may have, from its declaration to its end.
  static let limit = 69

  struct Language: Sendable {
    let isDeclaration: @Sendable (Substring) -> Bool
    let end: String
  }

  static let swift = Language(
    isDeclaration: {
      $0.prefixMatch(
        of:
          /(@\w+(\(.*?\))?\s+)*([a-z]+(\([a-z]+\))?\s+)*(func\s|init\b[?(<]|deinit\b|subscript\b)/
      ) != nil
    }, end: "}")

  static let lua = Language(
    isDeclaration: { $0.prefixMatch(of: /(local\s+)?function\b|define\(/) != nil }, end: "end")

  /// The declarations, by line number from 1, whose functions have more than `limit` lines.
  static func overlong(_ lines: [Substring], _ language: Language) -> [Int] {
    lines.indices.filter { start in
      let indent = indentation(of: lines[start])
      guard language.isDeclaration(lines[start].dropFirst(indent)) else { return false }
      let rest = lines[(start + 1)...]
      // The first line that is not further in: the end of the body, or of a declaration without
      // one. A signature over several lines has lines that begin with ")" or "where" on the way.
      let end = rest.firstIndex { line in
        let text = line.drop { $0 == " " }
        return !text.isEmpty && line.count - text.count <= indent
          && !text.hasPrefix(")") && !text.hasPrefix("where") && !text.hasPrefix("{")
      }
      guard let end, lines[end].dropFirst(indent).hasPrefix(language.end) else { return false }
      return end - start + 1 > limit
    }.map { $0 + 1 }
  }

  private static func indentation(of line: Substring) -> Int { line.prefix { $0 == " " }.count }
}
