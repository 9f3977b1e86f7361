import ArgumentParser
import Foundation
import Testing

@testable import batchd

/// The library of errors says what the sources say, and README says what it says.
@Suite struct TroubleTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../..").standardizedFileURL

  /// The text literals of a source file; of the catalogue itself none.
  private static func literals() throws -> [String] {
    let sources = root.appending(path: "Sources")
    let walk = FileManager.default.enumerator(atPath: sources.path)
    return try (walk?.compactMap { $0 as? String } ?? [])
      .filter {
        ($0.hasSuffix(".swift") || $0.hasSuffix(".lua")) && !$0.hasSuffix("Troubles.swift")
      }
      .map { name in
        let text = try String(contentsOf: sources.appending(path: name), encoding: .utf8)
        let code = text.split(separator: "\n").filter { line in
          let start = line.drop { $0 == " " }
          return !start.hasPrefix("//") && !start.hasPrefix("--")
        }
        return code.flatMap { line in
          name.hasSuffix(".lua")
            ? line.matches(of: /'[^'\n]*'/).map { String($0.output) }
            : line.matches(of: /"(?:\\.|[^"\n])*"/).map { String($0.output) }
        }.joined(separator: "\n").replacing("\\\"", with: "\"")
      }
  }

  @Test func everyPieceStillStandsInAMessage() throws {
    let files = try Self.literals()
    #expect(files.count > 100)
    for trouble in Trouble.all where trouble.place != .redis {
      #expect(
        files.contains { file in trouble.fragments.allSatisfy { file.contains($0) } },
        "no message has “\(trouble.seen)” any more: mend Troubles.swift, and README with it")
    }
    #expect(Set(Trouble.all.map(\.seen)).count == Trouble.all.count)
  }

  /// Every command that a remedy names exists.
  @Test func remediesNameRealCommands() throws {
    let configuration = Batchd.configuration
    let commands =
      configuration.subcommands + configuration.groupedSubcommands.flatMap(\.subcommands)
    let names = Set(commands.map { $0.configuration.commandName ?? "" })
    var seen: Set<String> = []
    for trouble in Trouble.all {
      #expect(!trouble.meaning.isEmpty && !trouble.remedy.isEmpty)
      // A bar would end the table's cell.
      #expect(!(trouble.seen + trouble.meaning + trouble.remedy).contains("|"))
      for match in trouble.remedy.matches(of: /`batchd ([a-z-]+)/) {
        seen.insert(String(match.1))
        #expect(names.contains(String(match.1)), "\(trouble.seen)")
      }
    }
    #expect(seen.isSuperset(of: ["explain", "retry", "try", "doctor"]))
  }

  /// Errors as batches have had them.
  @Test(arguments: [
    (
      "poison: its worker died 3 times while it ran; the last was w1: its log says why",
      "poison: its worker died … times"
    ),
    ("detect exited with 1: no GPU (attempt 4, no retries left)", "exited with "),
    ("timed out after 500 ms, the timeout_ms of the stage (attempt 1)", "timed out after … ms"),
    ("detect was ended by SIGKILL (if nobody did that, …", "SIGKILL (if nobody did that"),
    ("gate workiz:acme is closed", "gate … is closed"),
    ("something of its own (attempt 4, no retries left)", "no retries left"),
    (#"pipeline: "dmo" is not known; known: demo"#, "is not known; known: "),
  ])
  func anErrorFindsItsEntry(error: String, seen: String) {
    let place: Trouble.Place = seen.hasPrefix("is not known") ? .rejected : .batch
    #expect(Trouble.of(error, in: place)?.seen == seen)
  }

  @Test func whatNobodyKnowsHasNoEntry() {
    #expect(Trouble.of("403 Forbidden") == nil)
    #expect(Trouble.of("no retries") == nil)
  }

  @Test func readmeHasTheTables() throws {
    let file = Self.root.appending(path: "README.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let head = "## When something is wrong\n\n"
    let start = try #require(text.firstRange(of: head)).upperBound
    let end = try #require(text[start...].firstRange(of: "\n## ")).lowerBound
    // The empty line before the next heading is the tables' own.
    let section = Trouble.section.dropLast()
    if ProcessInfo.processInfo.environment["BATCHD_UPDATE_README"] == "1" {
      try Data((text[..<start] + section + text[end...]).utf8).write(to: file)
    } else {
      #expect(
        text[start..<end] == section,
        "README is not what Troubles.swift says: BATCHD_UPDATE_README=1 swift test --filter TroubleTests"
      )
    }
  }
}
