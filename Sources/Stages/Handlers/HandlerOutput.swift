import Pipeline

/// Reads what a handler outside of this program answers, as it arrives: one JSON object a line, or a single object over
/// several lines. Holds one line at a time.
struct HandlerOutput {
  /// What must hold of the whole answer.
  struct Limits {
    /// Bytes of one line. A program may write every character as an escape, several times as long as it is.
    var lineBytes: Int
    /// Bytes of all lines.
    var totalBytes: Int

    init(outputBytes: Int, totalBytes: Int) {
      lineBytes = 4 * outputBytes + 4_096
      self.totalBytes = totalBytes
    }
  }

  /// What is wrong, once something is; nothing is read after it.
  private(set) var failure: String?

  /// Whether all was told that there is to tell: a stage without items has an output of its own only.
  var isComplete: Bool { items.isEmpty ? hasOutput : reported.count == items.count }

  private let source: String
  private let items: Set<String>
  private let alone: String?
  private let limits: Limits
  private var reported: Set<String> = []
  private var hasOutput = false
  private var hasLines = false
  private var number = 0
  private var bytesRead = 0
  private var line: [UInt8] = []
  /// Whether the line held is the beginning of an object that goes on over the next ones.
  private var isSpread = false

  /// - Parameters:
  ///   - source: what is read, as a message names it: `standard output`.
  ///   - items: those that may be reported.
  ///   - feed: when items are handed over one by one, an output is the item's.
  init(_ source: String, items: [Item], feed: Feed, limits: Limits) {
    self.source = source
    self.items = Set(items.map(\.id))
    alone = feed == .item && items.count == 1 ? items[0].id : nil
    self.limits = limits
  }

  /// - Returns: what the lines say that are complete now. Of those before a bad one, too: look at `failure` after it.
  mutating func read(_ bytes: [UInt8]) -> [HandlerLine] {
    guard failure == nil else { return [] }
    bytesRead += bytes.count
    if bytesRead > limits.totalBytes {
      failure = "\(source) has more than \(limits.totalBytes) bytes"
      return []
    }
    var lines: [HandlerLine] = []
    var rest = bytes[...]
    while failure == nil, let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      line += rest[..<end]
      rest = rest[(end + 1)...]
      if !isSpread { number += 1 }
      if let found = endLine() { lines.append(found) }
    }
    line += rest
    if failure == nil, line.count > limits.lineBytes { failTooLong(isSpread ? number : number + 1) }
    return lines
  }

  /// The answer has come to its end.
  /// - Returns: what its last line says, if that has no newline at its end.
  mutating func end() -> [HandlerLine] {
    guard failure == nil, !isBlank else { return [] }
    if !isSpread { number += 1 }
    do {
      return [try accept(line)]
    } catch {
      fail(error.text, number)
      return []
    }
  }

  private var isBlank: Bool { line.allSatisfy { [0x20, 0x09, 0x0D, 0x0A].contains($0) } }

  /// Takes a line whose newline has come.
  private mutating func endLine() -> HandlerLine? {
    if line.count > limits.lineBytes {
      failTooLong(number)
      return nil
    }
    if isSpread {
      line.append(UInt8(ascii: "\n"))
      return nil
    }
    if isBlank {
      line.removeAll(keepingCapacity: true)
      return nil
    }
    do {
      let found = try accept(line)
      line.removeAll(keepingCapacity: line.count < 1 << 16)
      return found
    } catch {
      let start = line.first { $0 != 0x20 && $0 != 0x09 }
      if error.isNoJSON, !hasLines, start == UInt8(ascii: "{") {
        isSpread = true
        line.append(UInt8(ascii: "\n"))
      } else {
        fail(error.text, number)
      }
      return nil
    }
  }

  private struct Refusal: Error {
    var text: String
    var isNoJSON = false
  }

  private mutating func accept(_ text: [UInt8]) throws(Refusal) -> HandlerLine {
    guard let json = try? JSON(parsing: text) else {
      throw Refusal(text: "is not JSON", isNoJSON: true)
    }
    var line: HandlerLine
    do throws(HandlerLine.Failure) { line = try HandlerLine(json) } catch {
      throw Refusal(text: error.text)
    }
    hasLines = true
    if case .output(let output) = line, let alone { line = .item(alone, .done(output)) }
    switch line {
    case .output:
      guard !hasOutput else { throw Refusal(text: "is the second output of the stage") }
      hasOutput = true
    case .item(let id, _), .retry(let id, _):
      guard items.contains(id) else {
        throw Refusal(
          text:
            "is about item \"\(id.printable(80))\", which was not handed over: `items` names what "
            + "is still to do")
      }
      guard reported.insert(id).inserted else {
        throw Refusal(text: "is the second about item \"\(id.printable(80))\"")
      }
    }
    return line
  }

  private mutating func failTooLong(_ number: Int) {
    fail("is longer than \(limits.lineBytes) bytes", number)
  }

  private mutating func fail(_ text: String, _ number: Int) {
    let beginning = String(decoding: line.prefix(400), as: UTF8.self).printable(80)
    failure = "line \(number) of \(source) \(text): \(beginning)"
  }
}
