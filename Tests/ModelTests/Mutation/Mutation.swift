/// Finds the checks of one Lua text.
struct Mutation {
  struct Edit {
    /// In bytes.
    let range: Range<Int>
    let replacement: String
  }

  private let tokens: [LuaToken]
  private(set) var edits: [Edit] = []

  /// What names who may act, where a batch is, what type a key has: a condition about one of these is a check.
  private static let subjects: Set<String> = [
    "fence", "epoch", "run", "stage", "place", "boot", "identity", "generation", "run_id", "err",
    "holds", "held", "older", "living", "ENDED", "lost", "host", "most", "LIMIT", "max_crashes",
    "patience", "stored", "seen", "flaw", "stuck", "why", "wrong", "wanted",
  ]

  init(_ bytes: [UInt8]) {
    tokens = LuaToken.all(in: bytes)
    for index in tokens.indices {
      switch tokens[index].text {
      case "if", "elseif", "while": condition(from: index + 1, isReturned: false)
      case "return", "=": condition(from: index + 1, isReturned: true)
      case "guard" where tokens[index - 1].text != "function": guardCall(at: index)
      case "math.min", "math.max": bound(at: index)
      default: break
      }
    }
  }

  private func isCheck(_ part: Range<Int>) -> Bool {
    tokens[part].contains { token in
      token.text.split(separator: ".").contains {
        $0.split(separator: "_").contains { Self.subjects.contains(String($0)) }
          || Self.subjects.contains(String($0))
      }
    } && !tokens[part].contains { $0.text == "function" }
  }

  /// The parts that `and` and `or` join. A returned value is a condition only when it compares or is joined.
  private mutating func condition(from start: Int, isReturned: Bool) {
    var parts: [Range<Int>] = []
    var joins: [String] = []
    var first = start
    var depth = 0
    var at = start
    while at < tokens.count {
      let text = tokens[at].text
      if ["(", "[", "{"].contains(text) { depth += 1 }
      if [")", "]", "}"].contains(text) { depth -= 1 }
      if depth == 0 && (text == "and" || text == "or") {
        parts.append(first..<at)
        joins.append(text)
        first = at + 1
      } else if depth < 0 || depth == 0 && endsExpression(at, first) {
        break
      }
      at += 1
    }
    if first < at { parts.append(first..<at) }
    // `a and b or c` chooses a value, and is no check.
    if isReturned && (joins.contains("or") && joins.contains("and") || parts.isEmpty) { return }
    for (index, part) in parts.enumerated()
    where isCheck(part) && tokens[part.lowerBound].text != "{" {
      if isReturned && joins.isEmpty && !tokens[part].contains(where: \.isComparison) { continue }
      let isJoined = [index - 1, index].filter(joins.indices.contains).map { joins[$0] }
      let replacements =
        isJoined.contains("and")
        ? ["true"] : isJoined.contains("or") ? ["false"] : ["true", "false"]
      for replacement in replacements {
        edits.append(
          Edit(
            range: tokens[part.lowerBound].range
              .lowerBound..<tokens[part.upperBound - 1].range.upperBound,
            replacement: replacement))
      }
    }
  }

  /// At a keyword or a comma, or where a new statement follows a whole expression.
  private func endsExpression(_ at: Int, _ first: Int) -> Bool {
    let text = tokens[at].text
    if text == "," || LuaToken.keywords.contains(text) && text != "not" { return true }
    guard at > first, tokens[at].isWord else { return false }
    let last = tokens[at - 1]
    return last.text == ")" || last.text == "]"
      || last.isWord && !LuaToken.keywords.contains(last.text)
  }

  private mutating func guardCall(at index: Int) {
    edits.append(
      Edit(
        range: tokens[index].range.lowerBound..<tokens[closing(index + 1)].range.upperBound,
        replacement: ""))
  }

  /// Of two numbers each alone.
  private mutating func bound(at index: Int) {
    let end = closing(index + 1)
    var depth = 0
    for at in index + 1..<end {
      if ["(", "{", "["].contains(tokens[at].text) { depth += 1 }
      if [")", "}", "]"].contains(tokens[at].text) { depth -= 1 }
      guard depth == 1, tokens[at].text == "," else { continue }
      let whole = tokens[index].range.lowerBound..<tokens[end].range.upperBound
      for part in [index + 2..<at, at + 1..<end] {
        edits.append(Edit(range: whole, replacement: "(" + text(part) + ")"))
      }
    }
  }

  private func closing(_ open: Int) -> Int {
    var depth = 0
    for at in open..<tokens.count {
      if tokens[at].text == "(" { depth += 1 }
      if tokens[at].text == ")" { depth -= 1 }
      if depth == 0 { return at }
    }
    return open
  }

  private func text(_ part: Range<Int>) -> String {
    tokens[part].map(\.text).joined(separator: " ")
  }
}
