import Foundation
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 10: batches that take their worker's process down, each in its own way, among neighbours of other
  /// accounts. A supervisor starts the workers again, as systemd does.
  @Suite struct PoisonProcessTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let workers = 16
    private static let neighbours = 48
    private static let crashes = 3
    /// Milliseconds of pace without poison, and at least so many with it.
    private static let calm = 4_000
    private static let poisoned = isLong ? 60_000 : 20_000

    /// What a handler does, and the signals that may end its process for it; none when nothing but the watchdog does.
    private static let poisons: [(kind: String, signals: Set<Int32>)] = [
      ("trap", [SIGTRAP, SIGILL]),
      // Whoever asks for memory next may be the one that gets none.
      ("eat", [SIGTRAP, SIGILL, SIGABRT, SIGSEGV, SIGBUS]),
      ("print", [SIGTRAP, SIGILL]),
      ("block", []),
    ]

    @Test func eachFailsAfterItsCrashesWhileNeighboursKeepTheirPace() async throws {
      var share = 0.0
      var round = 0
      // A machine that is busier before the poison than with it, or less, tells nothing about poison.
      while !(0.95...1.05).contains(share), round < 3 {
        round += 1
        share = try await Self.round()
      }
      #expect((0.95...1.05).contains(share))
    }

    /// - Returns: the neighbours' pace beside the poison, as a share of that before.
    private static func round() async throws -> Double {
      let settings = [
        "slots=4", "max_crashes=\(crashes)", "event_count=1000000", "lease_ms=2000",
      ]
      var share = 0.0
      try await TestWorkers.with(settings) { workers in
        // 1.25 GiB of addresses, 64 MiB for what it prints.
        let limits = ["prlimit", "--core=0", "--as=1342177280", "--fsize=67108864"]
        let supervisor = Supervisor(workers, through: limits)
        try await withThrowingTaskGroup(of: Void.self) { group in
          for number in 1...Self.workers {
            group.addTask { try await supervisor.keep("w\(number)") }
          }
          await workers.waitForWorkers(Self.workers)
          let paces = try await run(workers, supervisor)
          try await expectAllIsRight(workers)
          share = judge(paces, supervisor.deaths)
          group.cancelAll()
          try await group.waitForAll()
        }
      }
      return share
    }

    /// Items a second before and with the poison.
    private static func run(
      _ workers: TestWorkers, _ supervisor: Supervisor
    ) async throws -> (before: Double, with: Double) {
      // More than they can do in that time: they are cancelled in the end. Each at a speed of its own, or all of them
      // would count up in the same moment.
      let items = (0..<poisoned / 100).map { "\($0)" }.joined(separator: ",")
      try await workers.push(
        (1...neighbours).map { number in
          #"{"id":"n\#(number)","account":"n\#(number)","operation":"neighbours","items":[\#(items)],"payload":{"do":"slow","ms":\#(430 + 3 * number)}}"#
        })
      await eventually(within: .seconds(60), "all neighbours work") {
        for number in 1...neighbours
        where try await workers.hash("batch:n\(number)")["items_done"].flatMap({ Int($0) }) ?? 0 < 4
        { return false }
        return true
      }
      let start = try await Sample(workers)
      try await Task.sleep(for: .milliseconds(calm))
      let first = try await Sample(workers)
      for (kind, signals) in poisons {
        try await poison(kind, signals, workers, supervisor)
      }
      let left = first.milliseconds + poisoned - (try await Sample(workers).milliseconds)
      if left > 0 { try await Task.sleep(for: .milliseconds(left)) }
      let last = try await Sample(workers)
      return (first.pace(since: start), last.pace(since: first))
    }

    private static func poison(
      _ kind: String, _ signals: Set<Int32>, _ workers: TestWorkers, _ supervisor: Supervisor
    ) async throws {
      let before = supervisor.deaths.count
      try await workers.push([
        #"{"id":"\#(kind)","account":"\#(kind)","operation":"poison","payload":{"do":"\#(kind)"}}"#
      ])
      await eventually(within: .seconds(90), "\(kind) has failed, and its last worker has ended") {
        try await workers.hash("batch:\(kind)")["status"] == "failed"
          && supervisor.deaths.count >= before + crashes
      }
      let batch = try await workers.hash("batch:\(kind)")
      #expect(batch["crashes"] == "\(crashes)" && batch["retry_count"] == "0", "\(batch)")
      let text = "poison: its worker died \(crashes) times while it ran"
      #expect(batch["error"]?.hasPrefix(text) == true, "\(batch)")
      let deaths = supervisor.deaths[before...]
      #expect(deaths.count == crashes, "\(kind): \(deaths)")
      for death in deaths {
        let signal = death.status.map { $0 - 128 }
        #expect(signal.map(signals.contains) ?? signals.isEmpty, "\(kind): \(death)")
      }
      await workers.waitForWorkers(Self.workers)
    }

    private static func judge(
      _ pace: (before: Double, with: Double), _ deaths: [Supervisor.Death]
    ) -> Double {
      let share = pace.with / pace.before
      #expect(deaths.count == poisons.count * crashes, "\(deaths)")
      print(
        """
        row 10: \(poisons.count) poisons, each failed after \(crashes) crashes (\(deaths.count) in all); \
        neighbours did \(pace.before) items a second before and \(pace.with) with them: \(share)
        """)
      return share
    }

    /// L = Z = D = 0: poison has failed, neighbours have not; each has one end, in the history as well.
    private static func expectAllIsRight(_ workers: TestWorkers) async throws {
      try await workers.fcall("cancel", ["operation:neighbours"])
      await workers.waitFor("cancelled", of: "neighbours", within: .seconds(30))
      await workers.waitFor("failed", of: "poison", within: .seconds(30))
      for number in 1...neighbours {
        #expect(try await workers.hash("batch:n\(number)")["retry_count"] == "0")
      }
      let ended = try await QueueEvent.all(workers.client).filter { $0.name == "ended" }
      let all = neighbours + poisons.count
      #expect(ended.count == all && Set(ended.map(\.batch)).count == all)
      let history = try workers.row(
        "SELECT count(*), count(DISTINCT batch), sum(status = 'failed') FROM batch_processing_data")
      #expect(history == [all, all, poisons.count])
    }

    /// How far the neighbours are, and when, by Redis's clock.
    private struct Sample {
      let milliseconds: Int
      let items: Int

      init(_ workers: TestWorkers) async throws {
        let script =
          "local t = redis.call('TIME'); return {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGET', 'batchd:progress:neighbours', 'items_done')}"
        let reply = try await workers.client.call(["EVAL", .text(script), 0])
        milliseconds = try #require(reply.array?.first?.integer)
        items = try #require(reply.array?.last?.text.flatMap { Int($0) })
      }

      func pace(since start: Sample) -> Double {
        Double(items - start.items) * 1_000 / Double(milliseconds - start.milliseconds)
      }
    }
  }
}
