import Glibc
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// Workers of two revisions of the functions drain one queue: the higher revision is in force, whoever comes last, and
  /// nothing is charged.
  @Suite struct RollingUpgradeTests {
    private static let count = 200

    @Test func workersOfTwoRevisionsDrainOneQueue() async throws {
      try await TestWorkers.with(["slots=4", "retries=3"]) { workers in
        let first = try await workers.start("w1")
        let ours = try #require(try await Self.revision(workers))
        // What the release before left in Redis.
        try await Self.load(ours - 1, over: ours, workers)
        let second = try await workers.start("w2")
        #expect(try await Self.revision(workers) == ours, "a higher one replaces a lower one")
        try await workers.push((0..<Self.count).map(Self.envelope))
        try await Self.waitForEnds(Self.count / 4, workers)
        // A worker of the next release comes; ours go on with its functions.
        try await Self.load(ours + 1, over: ours, workers)
        try await Self.waitForEnds(Self.count / 2, workers)
        await first.killNow()
        let third = try await workers.start("w1")
        #expect(try await Self.revision(workers) == ours + 1, "never the reverse")
        try await Self.waitForEnds(Self.count, workers)
        let stats = try await workers.stats()
        #expect(stats["completed"] == Self.count)
        #expect(stats["failed"] == nil && stats["retries"] == nil && stats["rejected"] == nil)
        for worker in [second, third] {
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: .seconds(10)) == 0, "\(worker.output)")
          #expect(!worker.output.contains("unreadable"))
        }
      }
    }

    private static func envelope(_ number: Int) -> String {
      let account = number % 2 == 0 ? #","account":"a\#(number % 20)""# : ""
      return #"{"id":"b\#(number)","items":["x","y"],"payload":{"do":"slow","ms":20}\#(account)}"#
    }

    private static func revision(_ workers: TestWorkers) async throws -> Int? {
      try await workers.client.call(["FCALL", "batchd_revision", 0]).integer
    }

    /// Our functions under another revision, as a worker of another release loads them.
    private static func load(
      _ revision: Int, over present: Int, _ workers: TestWorkers
    ) async throws {
      let reply = try await workers.client.call([
        "FUNCTION", "LIST", "LIBRARYNAME", "batchd", "WITHCODE",
      ])
      let fields = try #require(reply.array?.first?.array)
      let code = try #require(fields.last?.text)
      let line = "local REVISION = "
      #expect(code.contains("\(line)\(present)\n"))
      let other = code.replacing("\(line)\(present)\n", with: "\(line)\(revision)\n")
      _ = try await workers.client.call(["FUNCTION", "LOAD", "REPLACE", .text(other)])
      #expect(try await Self.revision(workers) == revision)
    }

    private static func waitForEnds(_ count: Int, _ workers: TestWorkers) async throws {
      await eventually(within: .seconds(60), "\(count) have ended") {
        try await workers.stats()["completed", default: 0] >= count
      }
    }
  }
}
