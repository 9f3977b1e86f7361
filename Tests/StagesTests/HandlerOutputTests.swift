import Pipeline
import Testing

@testable import Stages

/// What a handler may say, and what it may not.
@Suite struct HandlerOutputTests {
  private static func reader(
    items: [String] = ["A1", "A2", "7"], feed: Feed = .batch, outputBytes: Int = 1_000,
    totalBytes: Int = 1 << 20
  ) -> HandlerOutput {
    HandlerOutput(
      "standard output", items: items.map { Item(id: $0, value: .string($0)) }, feed: feed,
      limits: .init(outputBytes: outputBytes, totalBytes: totalBytes))
  }

  /// All that the text says, and what is wrong with it, in pieces of every size.
  private func read(
    _ text: String, _ make: () -> HandlerOutput = { reader() }
  ) throws -> (lines: [HandlerLine], failure: String?) {
    var results: [([HandlerLine], String?)] = []
    for size in [1, 3, 17, max(text.utf8.count, 1)] {
      var output = make()
      var lines: [HandlerLine] = []
      let bytes = Array(text.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        lines += output.read(Array(bytes[start..<min(start + size, bytes.count)]))
      }
      lines += output.end()
      results.append((lines, output.failure))
    }
    let first = try #require(results.first)
    for other in results { #expect(other.0 == first.0 && other.1 == first.1) }
    return first
  }

  @Test(
    arguments: [
      ("", []), ("\n \r\n\t\n", []),
      (#"{"item":"A1","output":{"x":1}}"#, [.item("A1", .done(.object(["x": .integer(1)])))]),
      ("{\"item\":\"A1\"}\r\n", [.item("A1", .done(.null))]),
      (#"{"item":7}"#, [.item("7", .done(.null))]),
      (
        #"{"item":"A1","error":"no","retry":false}"# + "\n\n" + #"{"output":null}"#,
        [.item("A1", .failed("no")), .output(.null)]
      ),
      (
        #"{"item":"A1","error":"no"}"# + "\n" + #"{"item":"A2","error":"x","retry":true}"#,
        [.retry("A1", error: "no"), .retry("A2", error: "x")]
      ),
      (
        "\n{\n  \"output\": {\n    \"a\": [\n      1\n    ]\n  }\n}\n",
        [
          .output(.object(["a": .array([.integer(1)])]))
        ]
      ),
      ("  {\"item\":\n\"A1\"}", [.item("A1", .done(.null))]),
    ] as [(String, [HandlerLine])])
  func accepts(_ text: String, _ lines: [HandlerLine]) throws {
    let (found, failure) = try read(text)
    #expect(failure == nil)
    #expect(found == lines)
  }

  @Test(arguments: [
    ("Loading model\n", "line 1 of standard output is not JSON: Loading model"),
    ("{\"item\":\"A1\"}\n\n{\"ite", "line 3 of standard output is not JSON: {\"ite"),
    ("{\"item\":\"A1\"}\n{\n", "line 2 of standard output is not JSON: {"),
    ("{ \"output\":\n  nan }\n", "line 1 of standard output is not JSON: { \"output\":·  nan }·"),
    ("{\"output\":1\n2}", "line 1 of standard output is not JSON: {\"output\":1·2}"),
    ("[1]", "line 1 of standard output is an array, not an object: [1]"),
    ("\"ok\"", "line 1 of standard output is a string, not an object: \"ok\""),
    ("{}", "line 1 of standard output has neither an item nor an output: {}"),
    (
      #"{"item":"A1","result":1}"#,
      #"line 1 of standard output has a field "result"; there are item, output, error and retry: {"item":"A1","result":1}"#
    ),
    (#"{"item":["A1"]}"#, "line 1 of standard output has an item that is neither"),
    (#"{"item":"A1","error":5}"#, "line 1 of standard output has an error that is no string"),
    (#"{"error":"x"}"#, "line 1 of standard output has an error, but names no item"),
    (#"{"item":"A1","error":"x","output":1}"#, "line 1 of standard output has an output and an"),
    (#"{"item":"A1","retry":true}"#, "line 1 of standard output has a retry, but no error"),
    (#"{"item":"A1","error":"x","retry":"no"}"#, "line 1 of standard output has a retry that is"),
    (
      #"{"item":"B9"}"#,
      #"line 1 of standard output is about item "B9", which was not handed over: `items` names what is still to do: {"item":"B9"}"#
    ),
    (
      "{\"item\":\"A1\"}\n{\"item\":\"A1\",\"error\":\"x\"}",
      "line 2 of standard output is the second about item \"A1\""
    ),
    ("{\"output\":1}\n{\"output\":2}", "line 2 of standard output is the second output of the"),
    ("\u{1B}[31mred\u{7}", "line 1 of standard output is not JSON: ·[31mred·"),
  ])
  func refuses(_ text: String, _ failure: String) throws {
    let found = try read(text).failure
    #expect(found?.hasPrefix(failure) == true, "\(found ?? "accepted")")
  }

  @Test func whatStandsBeforeABadLineCounts() throws {
    let (lines, failure) = try read("{\"item\":\"A1\"}\nbad\n{\"item\":\"A2\"}\n")
    #expect(lines == [.item("A1", .done(.null))])
    #expect(failure?.hasPrefix("line 2 ") == true)
  }

  @Test func bytesThatAreNoTextAreShownAsFarAsTheyGo() throws {
    var output = Self.reader()
    #expect(output.read([0xFF, 0x00, 0xFE, 0x1B, 10]) == [])
    let failure = try #require(output.failure)
    #expect(failure == "line 1 of standard output is not JSON: \u{FFFD}·\u{FFFD}·")
  }

  @Test func aLineIsBoundedWithAndWithoutItsEnd() throws {
    let long = String(repeating: "x", count: 9_000)
    for end in ["", "\n"] {
      let failure = try read(long + end).failure
      #expect(failure == "line 1 of standard output is longer than 8096 bytes: \(long.prefix(80))…")
    }
    // A line of an output as large as it may be, every character escaped, is none too long.
    let escaped = String(repeating: "\\u00e9", count: 500)
    let (lines, failure) = try read(#"{"item":"A1","output":"\#(escaped)"}"#)
    #expect(lines.count == 1 && failure == nil)
  }

  @Test func theWholeIsBounded() throws {
    let failure = try read(String(repeating: "\n", count: 101)) { Self.reader(totalBytes: 100) }
      .failure
    #expect(failure == "standard output has more than 100 bytes")
  }

  @Test func anOutputIsTheItemsWhenItIsAlone() throws {
    let one = { Self.reader(items: ["A1"], feed: .item) }
    #expect(try read(#"{"output":1}"#, one).lines == [.item("A1", .done(.integer(1)))])
    let twice = try read("{\"output\":1}\n{\"item\":\"A1\"}", one)
    #expect(twice.lines.count == 1)
    #expect(twice.failure?.contains("the second about item \"A1\"") == true)
    // A batch without items has an output of its own.
    #expect(
      try read(#"{"output":1}"#) { Self.reader(items: [], feed: .item) }.lines
        == [.output(.integer(1))])
  }
}
