import Testing

@testable import batchd

struct KeyLinesTests {
  /// Everything that may stand between one key and the next.
  static let text = """
    # [comment]
    top = 1
    "quoted key" = "a # no comment [x]"

    [a.b] # comment
    one = \"\"\"
    two = 2
    [no] \\\"\"\" still
    \"\"\"
    three = '''
    four = 4'''
    list = [
      1, # [five]
      { six = 6,
      },
      [ "]", ']' ],
    ]
    c.d = 1979-05-27T07:32:00Z
    inline = { x = 1, y.z = "}" }
      [ a . 'e f' ]
    last = 0x1F
    """

  @Test(arguments: [
    (["top"], 2), (["quoted key"], 3), (["a"], 5), (["a", "b"], 5), (["a", "b", "one"], 6),
    (["a", "b", "three"], 10), (["a", "b", "list"], 12), (["a", "b", "c", "d"], 18),
    (["a", "b", "inline", "y", "z"], 19), (["a", "e f"], 20), (["a", "e f", "last"], 21),
  ])
  func everyKeyHasItsLine(path: [String], line: Int) {
    #expect(KeyLines(Self.text).line(of: path) == line)
    #expect(KeyLines(Self.text).contains(path))
  }

  @Test func whatIsNoKeyHasNone() {
    let lines = KeyLines(Self.text)
    for path in [["comment"], ["x"], ["a", "b", "two"], ["no"], ["five"], ["a", "b", "four"]] {
      #expect(!lines.contains(path))
    }
  }

  @Test func anUnknownPathHasTheLineOfItsTable() {
    #expect(KeyLines(Self.text).line(of: ["a", "b", "none", "such"]) == 5)
    #expect(KeyLines(Self.text).line(of: ["none"]) == nil)
  }

  /// The scan is given valid texts only; it must end on others too.
  @Test(arguments: ["[", "a", "= 1", "a = \"", "a = [", "a = {", "a = { b", "]", "a.=", "\"\"\""])
  func everyTextEnds(_ text: String) {
    #expect(KeyLines(text).line(of: ["z"]) == nil)
  }
}
