/// What TOMLKit would not survive: its parser asserts, and ends the process, where a table's name starts with a character
/// that no bare key has (toml++ 3.0, `parse_key`, called by `parse_table_header` without a look; found by fuzzing).
///
/// batchd's settings have no arrays inside arrays: outside a text of several lines, a line that starts with a bracket is
/// a header.
enum TableHeaders {
  /// The first such header: its line, from 1, and what it starts with.
  static func mistake(in text: String) -> (line: Int, found: String)? {
    var quotes: Substring?
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      var rest = line.drop { $0 == " " || $0 == "\t" }
      if quotes == nil, rest.first == "[" {
        rest = rest.dropFirst(rest.hasPrefix("[[") ? 2 : 1).drop { $0 == " " || $0 == "\t" }
        let first = rest.unicodeScalars.first ?? "\n"
        if !canStart(first) {
          return (index + 1, first.value > 0x20 ? "\"\(first)\"" : "a blank or control character")
        }
      }
      while let mark = nextMark(quotes, in: rest) {
        quotes = quotes == nil ? mark : nil
        rest = rest[mark.endIndex...]
      }
    }
    return nil
  }

  /// A letter, digit, `_`, `-`, a quote; or the end of a header without a name, which TOMLKit refuses itself.
  private static func canStart(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "A"..."Z", "a"..."z", "0"..."9", "_", "-", "\"", "'", "]": true
    default: false
    }
  }

  /// The three quotes that open a text of several lines, or close the one that `open` opened.
  private static func nextMark(_ open: Substring?, in line: Substring) -> Substring? {
    let marks = open.map { [String($0)] } ?? ["\"\"\"", "'''"]
    return marks.compactMap { mark in line.firstRange(of: mark).map { line[$0] } }
      .min { $0.startIndex < $1.startIndex }
  }
}
