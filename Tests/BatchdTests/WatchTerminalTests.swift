import Foundation
import Pipeline
import TestSupport
import Testing
import Worker

@testable import batchd

/// `batchd watch` as a person sees it: in a terminal, with a shell around it.
@Suite struct WatchTerminalTests {
  private static let binary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "batchd").path

  /// Four accounts of one operation, each with a batch that waits for the latch and one behind it.
  private static func withNightly(
    _ harness: CommandHarness, _ body: (Latch) async throws -> Void
  ) async throws {
    let isOpen = Latch()
    try await harness.withWorker(
      handler: Handler { job, context in
        guard job.stage == .extraction else { return nil }
        if job.batch == "acme-1", job.items.contains(where: { $0.id == "A" }) {
          try await context.checkpoint(["A": .failed("日本語のエラー \u{1B}[2J🚀")])
        }
        try await isOpen.wait()
        return nil
      }
    ) {
      for account in ["acme", "bolt", "cedar", "delta"] {
        for number in 1...2 {
          _ = try await harness.run(
            "enqueue", "--id", "\(account)-\(number)", "--operation", "nightly", "--account",
            account, "A", "B")
        }
      }
      await eventually("four run") { try await harness.redis.cli("ZCARD", "batchd:leases") == "4" }
      try await body(isOpen)
    }
  }

  /// Whether the picture stands there once, whole, as its last lines.
  private static func isWhole(_ lines: [String], columns: Int) -> Bool {
    func count(_ start: String) -> Int { lines.count { $0.hasPrefix(start) } }
    let accounts = ["acme", "bolt", "cedar", "delta"].map { count("  \($0)") }
    return count("nightly ") == 1 && count("  8 batches: ") == 1
      && accounts.allSatisfy { $0 == 1 } && count("  setup ") == 1 && count("  extraction ") == 1
      && lines.allSatisfy { Columns.width($0) <= columns }
      && lines.last?.hasPrefix("  extraction ") == true
  }

  @Test func thePictureSurvivesSizesShellsAndRestarts() async throws {
    let harness = try await CommandHarness(redisArguments: [
      "--appendonly", "yes", "--appendfsync", "always",
    ])
    try await Self.withNightly(harness) { isOpen in
      try await TmuxTerminal.with(harness.redis, columns: 100, rows: 30) { terminal in
        func isWhole(_ what: String, columns: Int) async {
          await eventually(what) {
            Self.isWhole(
              try await terminal.lines().filter { $0.hasPrefix(" ") || $0.hasPrefix("nightly") },
              columns: columns)
          }
        }
        try await terminal.type("echo before")
        try await terminal.type("\(Self.binary) watch --redis \(harness.redis.url)")
        await isWhole("the picture", columns: 100)
        #expect(try await !terminal.isCursorVisible)

        // What is typed does not show, and Enter moves nothing.
        for _ in 0..<3 { try await terminal.type("typed") }
        // What wraps in the narrower window, or is cut off, must not come back in the wider one.
        for (columns, rows) in [(70, 30), (100, 30), (40, 12), (130, 40), (100, 24)] {
          try await terminal.resize(columns: columns, rows: rows)
          await isWhole("the picture in \(columns)×\(rows)", columns: columns)
        }
        #expect(try await !terminal.lines().joined().contains("typed"))

        harness.redis.kill()
        await eventually("it says that Redis is away") {
          try await terminal.lines().contains { $0.hasPrefix("no Redis, trying again: ") }
        }
        try await harness.redis.start()
        await eventually("it goes on") {
          let lines = try await terminal.lines()
          return lines.contains("Redis is back") && !lines.contains { $0.hasPrefix("no Redis") }
        }
        await isWhole("the picture again", columns: 100)

        try await terminal.key("C-z")
        await eventually("the shell is back") {
          try await terminal.lines().last?.hasSuffix("]>") == true
        }
        #expect(try await terminal.isCursorVisible)
        #expect(try await !terminal.lines().contains { $0.hasPrefix("nightly ") })
        try await terminal.type("fg")
        await isWhole("the picture after fg", columns: 100)
        #expect(try await !terminal.isCursorVisible)

        isOpen.set()
        await eventually("the end") { try await terminal.lines().last == "[1]>" }
        let lines = try await terminal.lines()
        #expect(try await terminal.isCursorVisible)
        #expect(lines.count { $0.hasPrefix("nightly ") } == 1, "\(lines)")
        #expect(lines.contains { $0.contains("8/8") || $0.contains("16/16 items  completed with") })
        // What a service answered is words, and nothing of before is gone.
        let history = try await terminal.history()
        #expect(history.contains("1 of 2 items failed: A: 日本語のエラー  [2J🚀"), "\(history)")
        #expect(history.contains("\nbefore\n"))
        // The shell shows what is typed again.
        try await terminal.type("echo after")
        await eventually("the echo") {
          try await terminal.lines().suffix(3).first == "[1]> echo after"
        }
      }
    }
  }

  @Test(arguments: ["C-c", "TERM", "HUP"])
  func howeverItEndsTheShellIsAsBefore(end: String) async throws {
    let harness = try await CommandHarness()
    try await Self.withNightly(harness) { isOpen in
      try await TmuxTerminal.with(harness.redis, columns: 40, rows: 6) { terminal in
        let pidFile = "\(harness.redis.folder)/watch.pid"
        try await terminal.type(
          "sh -c \"echo \\$\\$ > \(pidFile); exec \(Self.binary) watch --redis \(harness.redis.url)\""
        )
        await eventually("the picture fits") {
          let lines = try await terminal.lines()
          return lines.count <= 6 && lines.count { $0.hasPrefix("nightly ") } == 1
            && lines.last?.hasPrefix("  … ") == true
        }
        if end == "C-c" {
          try await terminal.key("C-c")
        } else {
          let pid = try String(contentsOfFile: pidFile, encoding: .utf8).dropLast()
          kill(try #require(pid_t(pid)), end == "TERM" ? SIGTERM : SIGHUP)
        }
        let status = ["C-c": 130, "TERM": 143, "HUP": 129][end]!
        await eventually("the prompt") { try await terminal.lines().last == "[\(status)]>" }
        #expect(try await terminal.isCursorVisible)
        let lines = try await terminal.lines()
        #expect(lines.dropLast().last?.hasPrefix("  … ") == true, "\(lines)")
        try await terminal.type("echo after")
        await eventually("the echo") { try await terminal.lines().contains("after") }
        #expect(try await terminal.lines().contains("[\(status)]> echo after"))
      }
      isOpen.set()
    }
  }
}
