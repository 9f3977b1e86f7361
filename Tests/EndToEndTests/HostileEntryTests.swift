import Foundation
import Pipeline
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// Row 11: entries that are made to hurt. A worker process grows by at most twice what one entry may hold.
  @Suite struct HostileEntryTests {
    private static let cap = Limits().envelopeBytes
    private static let repeats = 5

    /// An entry as large as one may be, good or not.
    private static func large(_ id: String, good: Bool) -> String {
      let head = #"{"id":"\#(id)","payload":""#
      let end = good ? #""}"# : #"",}"#
      return head + String(repeating: "x", count: cap - head.utf8.count - end.utf8.count) + end
    }

    @Test func aWorkerGrowsByAtMostTwoEntries() async throws {
      try await TestWorkers.with(["stage=persistence", "retention_seconds=1"]) { workers in
        let worker = try await workers.start("w1")
        for number in 0..<Self.repeats {
          try await workers.push([Self.large("warm\(number)", good: true)])
          try await workers.push([Self.large("w", good: false)])
          try await Self.wait(workers, completed: number + 1, rejected: number + 1)
        }
        let before = try Self.peak(worker)
        let deep = String(repeating: "[", count: 1_000)
        let hostile: [[UInt8]] = [
          Array(#"{"id":"d","payload":\#(deep)1\#(deep.replacing("[", with: "]"))}"#.utf8),
          Array(#"{"id":"d","payload":"#.utf8)
            + [UInt8](repeating: UInt8(ascii: "["), count: Self.cap - 100),
          Array(#"{"id":"d","payload":"#.utf8) + [UInt8](repeating: 0xff, count: Self.cap - 100),
          [UInt8](repeating: 0, count: Self.cap),
          Array(#"{"id":"d","payload":""#.utf8)
            + [UInt8](repeating: UInt8(ascii: "x"), count: 64 << 20),
        ]
        var rejected = Self.repeats
        for entry in (0..<2).flatMap({ _ in hostile }) {
          _ = try await workers.client.call(["LPUSH", "batchd:enqueue", .bytes(entry)])
          rejected += 1
          try await Self.wait(workers, completed: Self.repeats, rejected: rejected)
        }
        try await workers.push([#"{"id":"after"}"#])
        try await Self.wait(workers, completed: Self.repeats + 1, rejected: rejected)
        let growth = try Self.peak(worker) - before
        print(
          "hostile entries: the worker's peak grew by \(growth >> 10) KiB, from \(before >> 10) KiB"
        )
        #expect(growth <= 2 * Self.cap)
      }
    }

    private static func wait(_ workers: TestWorkers, completed: Int, rejected: Int) async throws {
      await eventually(within: .seconds(60), "\(completed) completed, \(rejected) rejected") {
        let stats = try await workers.stats()
        return stats["completed"] == completed && stats["rejected"] == rejected
      }
    }

    /// The most that was resident at any time, in bytes.
    private static func peak(_ program: Program) throws -> Int {
      let status = try String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)
      let kibibytes = status.firstMatch(of: /VmHWM:\s+(\d+) kB/).flatMap { Int($0.1) }
      return try #require(kibibytes) << 10
    }
  }
}
