import Foundation
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// RELIABILITY, row 9.
  @Suite struct ProducersTests {
    /// Two workers admit side by side what 16 producers push at the same time, before, while and after the batch runs.
    @Test func oneIdPushedAThousandTimesBySixteenProducersIsOneRow() async throws {
      try await TestWorkers.with(["stage=persistence"]) { workers in
        let running = [try await workers.start("w1"), try await workers.start("w2")]
        let envelope = #"{"id":"b1","account":"acme","items":["i1"],"payload":{"do":"write"}}"#
        try await withThrowingTaskGroup(of: Void.self) { group in
          for producer in 0..<16 {
            group.addTask {
              for _ in 0..<(producer < 8 ? 63 : 62) { try await workers.push([envelope]) }
            }
          }
          try await group.waitForAll()
        }
        await eventually(within: .seconds(60), "all are admitted, one ends") {
          let stats = try await workers.stats()
          return stats["duplicates"] == 999 && stats["completed"] == 1
        }
        await eventually("the store holds its end") {
          try await workers.client.call(["XLEN", "batchd:ended"]).integer == 0
        }
        #expect(try workers.row("SELECT count(*), count(DISTINCT uuid) FROM jobs") == [1, 1])
        #expect(try workers.row("SELECT count(*), max(run) FROM batch_processing_data") == [1, 1])
        #expect(try await workers.client.call(["LLEN", "batchd:rejected"]).integer == 0)
        for worker in running {
          worker.send(SIGTERM)
          #expect(await worker.exitStatus(within: .seconds(10)) == 0)
        }
      }
    }
  }
}
