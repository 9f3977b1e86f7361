import Testing

/// DESIGN.md section 14: a module imports only lower floors that its line names.
struct FloorTests {
  /// A module's floor, and the modules of ours that it may import.
  static let modules: [String: (floor: Int, imports: Set<String>)] = [
    "CHiredis": (0, []),
    "CPostgres": (0, []),
    "Failpoints": (0, []),
    "Redis": (1, ["CHiredis", "Failpoints"]),
    "Pipeline": (1, []),
    "Queue": (2, ["Redis", "Pipeline"]),
    "Coordination": (2, ["Redis"]),
    "Stores": (2, ["CPostgres", "Failpoints", "Pipeline"]),
    "Worker": (3, ["Redis", "Queue", "Coordination", "Stores", "Pipeline"]),
    "Stages": (4, ["Worker", "Stores", "Pipeline"]),
    "Gateway": (4, ["Queue", "Coordination", "Stores"]),
    "Simulators": (4, ["Pipeline"]),
    "batchd": (
      5,
      ["Redis", "Pipeline", "Queue", "Coordination", "Stores", "Worker", "Stages", "Gateway"]
    ),
    "batchd-dev": (
      5, ["Redis", "Pipeline", "Queue", "Stores", "Worker", "Simulators"]
    ),
  ]

  @Test func everyModuleHasALine() throws {
    for name in try SourceTree.names(in: "Sources") {
      #expect(Self.modules[name] != nil, "Sources/\(name) has no line in the table of floors")
    }
  }

  @Test func linesNameLowerFloorsOnly() {
    for (name, line) in Self.modules {
      for other in line.imports {
        #expect(Self.modules[other]!.floor < line.floor, "\(name) may not import \(other)")
      }
    }
  }

  @Test func modulesImportWhatTheirLineNames() throws {
    var seen = 0
    for (name, line) in Self.modules {
      for file in try SourceTree.files(below: "Sources/\(name)", endings: [".swift"]) {
        let ours = Self.imports(of: file.lines).filter { Self.modules[$0] != nil }
        seen += ours.count
        #expect(ours.subtracting(line.imports).isEmpty, "\(file)")
      }
    }
    #expect(seen > 0)
  }

  @Test func everyFormOfImportIsSeen() {
    let lines: [Substring] = [
      "public import Pipeline", "  @testable import Stores", "import struct Redis.RedisValue",
      "@preconcurrency internal import Queue", "// import Worker", "let text = \"import Stages\"",
    ]
    #expect(Self.imports(of: lines) == ["Pipeline", "Stores", "Redis", "Queue"])
  }

  private static func imports(of lines: [Substring]) -> Set<String> {
    let pattern =
      /^\s*(@\w+\s+)*((public|package|internal|fileprivate|private)\s+)?import\s+((struct|class|enum|protocol|func|var|let|typealias)\s+)?(?<module>\w+).*/
    return Set(lines.compactMap { $0.wholeMatch(of: pattern).map { String($0.module) } })
  }
}
