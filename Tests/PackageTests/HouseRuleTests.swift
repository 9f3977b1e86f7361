import Foundation
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// The rules of DESIGN.md section 14 about files, and those of the house about what is in them.
struct HouseRuleTests {
  static let code = ["Sources", "Tests", "deploy"]

  @Test func topLevelHoldsOnlyWhatIsAgreed() throws {
    let agreed: Set<String> = [
      "Package.swift", "Sources", "Tests", "deploy", "config.example.toml", "README.md",
    ]
    let ignored = try #require(try SourceTree.file(".gitignore")).lines
    let others = try SourceTree.names().filter { name in
      !agreed.contains(name) && !name.hasPrefix(".")
        && !ignored.contains { fnmatch(String($0), name, 0) == 0 }
    }
    #expect(others.isEmpty)
  }

  @Test func filesAreShort() throws {
    var seen = 0
    for file in try Self.code.flatMap({ try SourceTree.files(below: $0) }) {
      seen += 1
      #expect(file.lines.count <= 401, "\(file) has over 400 lines")
    }
    #expect(seen > 0)
  }

  @Test func functionsAreShort() throws {
    for folder in ["Sources", "Tests"] {
      for file in try SourceTree.files(below: folder, endings: [".swift"]) {
        #expect(FunctionLength.overlong(file.lines, FunctionLength.swift) == [], "\(file)")
      }
      for file in try SourceTree.files(below: folder, endings: [".lua"]) {
        #expect(FunctionLength.overlong(file.lines, FunctionLength.lua) == [], "\(file)")
      }
    }
  }

  @Test func longFunctionsAreFound() {
    func function(_ head: String, bodyLines: Int, end: String) -> [Substring] {
      let body = [String](repeating: "    work()\n\n", count: bodyLines / 2).joined()
      return "\(head)\n\(body)\(end)".split(separator: "\n", omittingEmptySubsequences: false)
    }
    let heads = [
      "  func a() {", "  public static func a() {", "  @Test(.enabled(if: x)) func a() {",
      "  private mutating func a(\n    b: Int\n  ) throws -> Int {", "  init(b: Int) {",
      "  init?(b: Int) {", "  deinit {", "  subscript(b: Int) -> Int {",
    ]
    for head in heads {
      let long = function(head, bodyLines: 68, end: "  }")
      #expect(FunctionLength.overlong(long, FunctionLength.swift) == [1], "\(head)")
    }
    let lua = function("define('a', function(p, args)", bodyLines: 68, end: "end)")
    #expect(FunctionLength.overlong(lua, FunctionLength.lua) == [1])
    let short = function("  func a() {", bodyLines: 66, end: "  }")
    #expect(FunctionLength.overlong(short, FunctionLength.swift) == [])
    let requirement = function("  func a()", bodyLines: 80, end: "  var b: Int { get }")
    #expect(FunctionLength.overlong(requirement, FunctionLength.swift) == [])
  }

  @Test func atMostFourProtocols() throws {
    let pattern = /\s*((public|package|internal|fileprivate|private)\s+)?protocol\s+\w+.*/
    let protocols = try SourceTree.files(below: "Sources", endings: [".swift"]).flatMap { file in
      file.lines.filter { $0.wholeMatch(of: pattern) != nil }.map { "\(file): \($0)" }
    }
    #expect(!protocols.isEmpty && protocols.count <= 4, "\(protocols)")
  }

  /// A function's header is its contract: what it is, and how it is called.
  @Test func luaHeadersNameTheirCall() throws {
    let files = try SourceTree.files(below: "Sources/Queue/Functions", endings: [".lua"])
    #expect(!files.isEmpty)
    for file in files {
      let header = file.lines.prefix { $0.hasPrefix("--") }
      #expect(!header.isEmpty, "\(file) has no header")
      let defined = file.lines.compactMap { $0.prefixMatch(of: /define\('(\w+)'/)?.1 }
      for name in defined {
        #expect(file.path.hasSuffix("/\(name).lua"), "\(file) defines \(name)")
        #expect(header.first?.hasPrefix("-- batchd_\(name): ") == true, "\(file)")
        #expect(header.contains { $0.hasPrefix("-- FCALL batchd_\(name) 1 PREFIX") }, "\(file)")
      }
    }
  }

  /// Promises of later work, and paths of the machine on which a file was written. In two pieces,
  /// so that this file does not find itself.
  static let banned = [
    ["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"], ["/ho", "me/"], ["/Us", "ers/"],
    ["/ro", "ot/"], ["/wo", "rk/"],
  ].map { $0.joined() }

  @Test func noLeftovers() throws {
    let loose = try ["Package.swift", "config.example.toml", "README.md", ".ci/run"]
      .compactMap { try SourceTree.file($0) }
    for file in try Self.code.flatMap({ try SourceTree.files(below: $0) }) + loose {
      for (number, line) in file.lines.enumerated() {
        let found = Self.leftovers(in: line)
        #expect(found == [], "\(file):\(number + 1)")
      }
    }
  }

  @Test func leftoversAreFound() {
    #expect(Self.leftovers(in: "/tmp/batchd-XXXXXX, a hackney cab") == [])
    for word in Self.banned {
      #expect(Self.leftovers(in: Substring("see \(word) there")) == [word])
    }
  }

  /// Words count only whole: a template of mkdtemp ends in six of a letter.
  private static func leftovers(in line: Substring) -> [String] {
    let words = line.split(whereSeparator: { !$0.isLetter }).map(String.init)
    return banned.filter { $0.hasSuffix("/") ? line.contains($0) : words.contains($0) }
  }
}
