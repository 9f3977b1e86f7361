import Foundation
import TestSupport
import Testing

extension ProcessTests {
  /// A worker that dies without a chance to do anything leaves no command behind.
  @Suite struct CommandKillTests {
    @Test func aKilledWorkerTakesItsCommandsWithIt() async throws {
      let mark = "1\(Int.random(in: 1_000_000...9_999_999))"
      // timeout has a process group of its own.
      let script = """
        trap '' TERM HUP; sleep \(mark) & (sleep \(mark) & wait) & timeout 9\(mark) sleep \(mark)
        """
      try await TestWorkers.with(["exec=\(script)"]) { workers in
        let worker = try await workers.start("w1")
        try await workers.push([#"{"id":"b1"}"#, #"{"id":"b2"}"#])
        await eventually("both run") { Self.processes(mark).count >= 6 }
        await worker.killNow()
        await eventually(within: .seconds(2), "nothing is left") { Self.processes(mark).isEmpty }
      }
    }

    /// The sleepers, and the shells that have the script as an argument.
    private static func processes(_ mark: String) -> [String] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
      return names.filter { name in
        let line = (try? String(contentsOfFile: "/proc/\(name)/cmdline", encoding: .utf8)) ?? ""
        return Int(name) != nil && line.contains(mark) && !line.contains("TestWorker")
      }
    }
  }
}
