import TestSupport

/// The function library with one check taken out.
struct Mutant: CustomStringConvertible {
  let file: String
  let line: Int
  let check: String
  let replacement: String
  let sources: FunctionSources

  var description: String { "\(file):\(line): \(check) -> \(replacement)" }

  /// One for each check that the sources hold, found by their shape: each part of a condition or of a returned one that
  /// compares or asks a predicate becomes what it would be if it were not there (in a condition of its own, both); each
  /// guard goes; each bound gives way to what it bounds.
  static func all(of sources: FunctionSources) -> [Mutant] {
    sources.files.keys.sorted().flatMap { file in
      Mutation(Array((sources.files[file] ?? "").utf8)).edits.map { edit in
        Mutant(file: file, edit, of: sources)
      }
    }
  }

  private init(file: String, _ edit: Mutation.Edit, of sources: FunctionSources) {
    var bytes = Array((sources.files[file] ?? "").utf8)
    self.file = file
    line = 1 + bytes[..<edit.range.lowerBound].count { $0 == UInt8(ascii: "\n") }
    check = String(decoding: bytes[edit.range], as: UTF8.self)
      .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    replacement = edit.replacement
    bytes.replaceSubrange(edit.range, with: edit.replacement.utf8)
    var changed = sources
    changed.files[file] = String(decoding: bytes, as: UTF8.self)
    self.sources = changed
  }
}
