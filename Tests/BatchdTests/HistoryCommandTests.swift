import Foundation
import Pipeline
import Stores
import TestSupport
import Testing

/// The life of ended batches as a person asks the store for it; Redis is not asked.
@Suite struct HistoryCommandTests {
  private let folder: TemporaryFolder
  private let config: String

  init() throws {
    folder = try TemporaryFolder()
    config = try folder.write("store.path = \"store.sqlite\"\n", to: "config.toml")
  }

  private func history(_ arguments: String...) async throws -> CommandHarness.Outcome {
    try await RunningCommand(
      ["history", "--config", config] + arguments, input: "", folder: folder.path
    ).outcome()
  }

  private static func ended(
    _ batch: String, run: Int = 1, status: String, day: Int64, errors: [String: String] = [:]
  ) -> EndedBatch {
    let start = Timestamp(rfc3339: "2026-11-01T00:00:00Z")!.milliseconds + day * 86_400_000
    return EndedBatch(
      batch: batch, run: run, status: status, operation: "nightly", account: "acme",
      pipeline: "demo", stage: .extraction, number: 1, itemsTotal: 3, itemsDone: 3 - errors.count,
      itemsFailed: errors.count, retryCount: 2, error: status == "failed" ? "no\tway" : nil,
      itemErrors: errors, admittedAt: Timestamp(milliseconds: start),
      startedAt: Timestamp(milliseconds: start + 1_000),
      finishedAt: Timestamp(milliseconds: start + 13_000))
  }

  @Test func itTellsWhatBecameOfBatches() async throws {
    let absent = try await history()
    #expect(absent.status == 66 && absent.complaint.contains("no worker of this configuration"))
    try folder.write("", to: "store.sqlite")
    let empty = try await history()
    #expect(empty.status == 66 && empty.complaint == absent.complaint)
    let left = try Data(contentsOf: URL(filePath: "\(folder.path)/store.sqlite"))
    #expect(left.isEmpty, "who looks makes no tables")
    let store = try await SQLiteStore(path: "\(folder.path)/store.sqlite")
    try await store.record([
      Self.ended("a", status: "failed", day: 0, errors: ["x_y": "go\u{1B}[31mne"]),
      Self.ended("a", run: 2, status: "completed", day: 1),
      Self.ended("b", status: "cancelled", day: 2),
    ])
    try await store.close()

    let all = try await history()
    #expect(all.status == 0)
    #expect(
      all.lines.map { $0.split(separator: " ").dropFirst().prefix(2).joined(separator: "/") }
        == ["BATCH/RUN", "b/1", "a/2", "a/1"])
    #expect(all.lines[3].contains("failed") && all.lines[3].contains("2/3"))
    #expect(all.lines[3].contains("12s"))
    let one = try await history("a")
    #expect(one.lines.last == "run 1, item x_y: go [31mne")
    let failed = try await history("--status", "failed", "--json")
    let runs = try JSON(parsing: Array(failed.output.utf8)).array
    #expect(runs?.count == 1)
    #expect(runs?[0]["failed_items"] == .integer(1) && runs?[0]["batch"] == .string("a"))
    #expect(runs?[0]["errors"]?["x_y"] == .string("go\u{1B}[31mne"), "the item's id is as it was")
    #expect(try await history("--since", "2026-11-03").lines.count == 2)
    #expect(
      try await history("--before", "2026-11-02T00:00:00Z", "--limit", "1").lines.last
        == "there may be more: --limit, or --before 2026-11-01T00:00:13.000Z")
    #expect(try await history("--account", "x").output == "no run has ended that fits\n")
    for wrong in [["--limit", "0"], ["--status", "done"], ["--since", "yesterday"]] {
      let outcome = try await RunningCommand(
        ["history", "--config", config] + wrong, input: "", folder: folder.path
      ).outcome()
      #expect(outcome.status == 64, "\(wrong)")
    }
  }
}
