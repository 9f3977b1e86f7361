import Foundation
import Glibc
import Pipeline
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 3: a worker falls asleep before or after any call and any write; its lease is taken over and its
  /// work done by another; then it wakes and goes on with what it was about to say.
  @Suite struct StopPointTests {
    /// Between a decision and its call lies the danger, so the short form stops there: with a claim, a permission, a
    /// result in hand. The long form stops after each as well.
    private static func points() throws -> [String] {
      let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
      return try FailpointNames.all().sorted().filter { isLong || !$0.hasSuffix(".after") }
    }

    /// With these a stopped worker has taken entries, ids or ended runs for itself; they are given to others when it
    /// counts as dead, after half a minute, or at its own return.
    private static func keeps(_ point: String) -> Bool {
      ["intake.after", "admit.before", "admit.after", "outbox.after", "archive.before"]
        .contains(point) || point.contains("BLMOVE") || point.hasPrefix("record(")
    }

    @Test func whateverAZombieSaysIsRefused() async throws {
      let points = try Self.points()
      let sites = 4
      let stopped = try await withThrowingTaskGroup(of: [String].self) { group in
        for index in 0..<sites {
          let share = points.indices.filter { $0 % sites == index }.map { points[$0] }
          group.addTask {
            var stopped: [String] = []
            for point in share where try await Self.stop(at: point) { stopped.append(point) }
            return stopped
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      print("stopped at \(stopped.count) of \(points.count) points")
      #expect(Set(points).subtracting(stopped) == [], "never stopped")
    }

    /// - Returns: whether the worker stopped.
    private static func stop(at point: String) async throws -> Bool {
      var outcome = Outcome.heldMore
      // Another of its threads may be in the middle of a transaction, and nobody can work before it wakes; or have taken
      // entries or ids, which others get only when it counts as dead.
      for _ in 0..<5 where outcome == .heldMore {
        try await Site.with(FailpointScenario.settings(leaseMilliseconds: 1_200)) { site in
          outcome = try await stop(at: point, site)
        }
      }
      return outcome == .stopped
    }

    private enum Outcome { case stopped, passed, heldMore }

    private static func stop(at point: String, _ site: Site) async throws -> Outcome {
      var scenario = FailpointScenario(site)
      let needsCrash = ["recover.", "ZCARD."].contains(where: point.hasPrefix)
      if needsCrash { try await scenario.crash() }
      // It must be there before the store may be locked, and must not take any work yet.
      let heir = try site.worker("heir")
      await eventually("\(point): the heir runs") { heir.output.contains("worker started") }
      heir.send(SIGSTOP)
      await nobodyBlocks(site)
      if point.hasPrefix("FUNCTION.") { _ = try await site.client.call(["FUNCTION", "FLUSH"]) }
      // A worker ticks and claims as soon as it starts, and takes entries in the same moment, which it would keep.
      let isFirst = point.hasPrefix("tick.") || point == "claim.before"
      if !needsCrash, !isFirst { try await scenario.enqueue() }
      let zombie = try scenario.worker("zombie", "stop", at: [point])
      if point.hasPrefix("hand_back.") || point.hasPrefix("leave.") {
        await eventually("\(point): it fetches") { try await scenario.isFetching() }
        zombie.send(SIGTERM)
      }
      let hasStopped = await eventually(within: .seconds(20), "\(point): it stops") {
        zombie.isStopped
      }
      guard hasStopped else { return .passed }
      if !point.hasSuffix(".within"), site.isStoreLocked { return .heldMore }
      await nobodyBlocks(site)
      let intakes = try await site.client.call(["KEYS", "batchd:intake:*-zombie:*"])
      if !keeps(point), !point.hasSuffix(".within"), intakes != .array([]) { return .heldMore }
      if isFirst { try await scenario.enqueue() }
      heir.send(SIGCONT)
      if !keeps(point), !point.hasSuffix(".within") {
        await eventually(within: .seconds(100), "\(point): the heir ends all") {
          try await scenario.hasEnded()
        }
        // Longer than clocks may differ: what it thinks the time is must not pass for a clock that jumped.
        if isFirst { try await Task.sleep(for: .seconds(6)) }
        try await expectNothingChanged(point, zombie, site)
      } else {
        // What it held is taken over, if it held anything.
        await eventually("\(point): the heir has looked for work") {
          if try await site.client.call(["ZCARD", "batchd:leases"]).integer == 0 { return true }
          return try await QueueEvent.all(site.client).contains {
            $0.name == "claimed" && $0.worker.hasSuffix("heir")
          }
        }
        zombie.send(SIGCONT)
      }
      await eventually(within: .seconds(100), "\(point): all ends") {
        try await scenario.hasEnded()
      }
      for worker in [zombie, heir] {
        worker.send(SIGTERM)
        #expect(await worker.exitStatus(within: .seconds(10)) == 0, "\(point): \(worker.output)")
      }
      try await scenario.expectAllIsRight()
      return .stopped
    }

    /// Waits until the blocked fetches of those who sleep are over: they would swallow what is pushed.
    private static func nobodyBlocks(_ site: Site) async {
      await eventually("no fetch is blocked") {
        try await site.client.call(["INFO", "clients"]).text?.contains("blocked_clients:0\r")
          ?? false
      }
    }

    /// Wakes the worker, waits until it has said what it had to say, and compares.
    private static func expectNothingChanged(
      _ point: String, _ zombie: Program, _ site: Site
    ) async throws {
      let before = try await QueueContents.take(site)
      let time = try await site.client.call(["TIME"]).array?.first?.integer ?? 0
      let woken = Timestamp(milliseconds: Int64(time) * 1_000 + 1_000).description
      zombie.send(SIGCONT)
      await eventually(within: .seconds(20), "\(point): the zombie beats or ends; \(zombie.output)")
      {
        if !zombie.isRunning { return true }
        let name = try await site.client.call(["KEYS", "batchd:worker:*-zombie"]).array?.first?.text
        let own = try await site.hash(String((name ?? "batchd:none").dropFirst("batchd:".count)))
        // Idle, and heard of after it woke.
        return own["running"] == "0" && own["beat_at"] ?? "" > woken
      }
      let changes = try await QueueContents.take(site).difference(from: before)
      #expect(changes == [], "\(point)")
    }
  }
}

extension Program {
  /// Whether a signal has stopped it.
  var isStopped: Bool {
    let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    return text.split(separator: ")").last?.hasPrefix(" T") ?? false
  }
}
