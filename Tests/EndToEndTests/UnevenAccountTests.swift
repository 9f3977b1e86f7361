import Foundation
import Pipeline
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 13: fifty accounts, one of which is slow and fails each time.
  @Suite struct UnevenAccountTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"
    private static let accounts = 49
    /// Of each account, a second each: what a busy machine adds is small beside it.
    private static let batches = isLong ? 25 : 5
    private static let badBatches = isLong ? 11 : 3
    private static let rounds = 3

    @Test func oneBadAccountDelaysNoOther() async throws {
      let settings = ["retries=2", "backoff_ms=100", "event_count=1000000"]
      try await TestWorkers.with(settings) { workers in
        let programs = [try await workers.start("w1"), try await workers.start("w2")]
        var loss = 1.0
        var round = 0
        // A machine that is busier in one half of a round than in the other tells nothing about accounts.
        while loss >= 0.05, round < Self.rounds {
          round += 1
          let alone = try await Self.run("alone\(round)", bad: nil, workers)
          let beside = try await Self.run("beside\(round)", bad: "bad\(round)", workers)
          loss = beside / alone - 1
          print(
            "row 13: \(Self.accounts) accounts took \(alone) ms without the bad one, \(beside) ms beside it: loss \(loss)"
          )
        }
        #expect(loss < 0.05)
        let most = Self.mostUnderWay(try await QueueEvent.all(workers.client))
        print("row 13: at most \(most) under way of one account")
        #expect(most == 1)
        try await Self.expectAllIsRight(workers, rounds: round)
        withExtendedLifetime(programs) {}
      }
    }

    /// - Returns: how long an account took from its first claim to its last end, in milliseconds, on average.
    private static func run(
      _ operation: String, bad: String?, _ workers: TestWorkers
    ) async throws -> Double {
      if let bad {
        try await workers.push(
          (1...badBatches).map { number in
            #"{"id":"\#(bad).x.\#(number)","account":"x","operation":"\#(bad)","payload":{"do":"fail","ms":700}}"#
          })
        await eventually("it fails") {
          try await workers.hash("progress:\(bad)")["status"] == "processing"
        }
      }
      for number in 1...batches {
        try await workers.push(
          (1...accounts).map { account in
            #"{"id":"\#(operation).a\#(account).\#(number)","account":"a\#(account)","operation":"\#(operation)","payload":{"do":"slow","ms":1000}}"#
          })
      }
      await workers.waitFor("completed", of: operation, within: .seconds(120))
      if let bad {
        let failures = try await QueueEvent.all(workers.client).count {
          $0.name == "retrying" && $0.batch.hasPrefix(bad)
        }
        #expect(failures >= batches / 2, "it failed all the time")
        await workers.waitFor("failed", of: bad, within: .seconds(60))
      }
      var total = 0.0
      for account in 1...accounts {
        let state = try await workers.hash("progress:\(operation):a\(account)")
        let start = try #require(state["started_at"].flatMap { Timestamp(rfc3339: $0) })
        let end = try #require(state["finished_at"].flatMap { Timestamp(rfc3339: $0) })
        total += Double(end.milliseconds - start.milliseconds)
      }
      return total / Double(accounts)
    }

    /// The most batches of one account between their first claim and their end, at any event. Ids are
    /// `OPERATION.ACCOUNT.NUMBER`.
    private static func mostUnderWay(_ events: [QueueEvent]) -> Int {
      var underWay: [Substring: Set<String>] = [:]
      var most = 0
      for event in events where !event.batch.isEmpty {
        let account = event.batch.split(separator: ".")[1]
        switch event.name {
        case "claimed": underWay[account, default: []].insert(event.batch)
        case "ended": underWay[account]?.remove(event.batch)
        default: break
        }
        most = max(most, underWay[account]?.count ?? 0)
      }
      return most
    }

    /// L = Z = D = 0: all have ended once, the bad ones after all their attempts.
    private static func expectAllIsRight(_ workers: TestWorkers, rounds: Int) async throws {
      let events = try await QueueEvent.all(workers.client)
      #expect(events.count { $0.name == "retrying" } == rounds * badBatches * 2)
      #expect(!events.contains { $0.name == "crashed" })
      let good = rounds * 2 * accounts * batches
      let bad = rounds * badBatches
      let history = try workers.row(
        """
        SELECT count(*), count(DISTINCT batch), sum(status = 'failed'), sum(status = 'completed')
        FROM batch_processing_data
        """)
      #expect(history == [good + bad, good + bad, bad, good])
    }
  }
}
