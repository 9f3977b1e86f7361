import Pipeline
import Testing

/// What the reader of JSON accepts, and as what.
@Suite struct JSONTests {
  private func parse(_ text: String) -> JSON? { try? JSON(parsing: text.utf8) }

  @Test(arguments: [
    ("0", JSON.integer(0)), ("-0", .integer(0)), ("-0.0", .integer(0)), ("5.0", .integer(5)),
    ("1e15", .integer(1_000_000_000_000_000)), ("0.1e1", .integer(1)), ("1E-400", .integer(0)),
    ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
    ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("2.5", .number(2.5)),
    ("1e300", .number(1e300)), ("\t[ 1 , 2 ]\r\n", .array([.integer(1), .integer(2)])),
    (#"{"a":1,"a":2}"#, .object(["a": .integer(1)])), ("{}", .object([:])), ("[]", .array([])),
    (#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#, .string("é😀\"\\/\u{8}\u{C}\n\r\t")),
    (#""\u0000""#, .string("\0")), ("\u{FEFF}null", .null), ("true", .bool(true)),
  ])
  func reads(_ text: String, _ value: JSON) { #expect(parse(text) == value) }

  @Test(arguments: [
    "", " ", "nul", "nulll", "tru", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "1e400",
    "[1,]", "[,1]", "[1", "]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}", "1 2", "\"",
    "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u+123\"", "\"\\ud800\"", "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"a\nb\"", "'a'", "[1]\u{0}", "\u{FEFF}\u{FEFF}1",
  ])
  func refuses(_ text: String) { #expect(parse(text) == nil) }

  @Test func refusesWhatIsNotUTF8() {
    for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0xFF, 0xFE, 0x31, 0x00]] {
      #expect(throws: DecodingError.self) { try JSON(parsing: bytes) }
    }
  }

  @Test func depthIsBounded() {
    func nested(_ levels: Int) -> String {
      String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
    }
    #expect(parse(nested(512)) != nil)
    #expect(parse(nested(513)) == nil)
    #expect(parse(String(repeating: "[", count: 1 << 20)) == nil)
  }

  /// An entry of 1 MiB that nests to the limit took 22 s of a release build with Foundation's decoder, 2 s of it
  /// for each KB of brackets alone.
  @Test func timeGrowsWithTheBytesAlone() throws {
    let deep = String(repeating: "[", count: 500) + String(repeating: "]", count: 500) + ","
    for unit in [deep, "{},", "true,", "0.5,", #"{"a":[]},"#] {
      let input = Array(("[" + String(repeating: unit, count: (1 << 16) / unit.count) + "1]").utf8)
      let start = ContinuousClock.now
      _ = try JSON(parsing: input)
      #expect(.now - start < .seconds(5), "\(unit.prefix(8))")
    }
  }
}
