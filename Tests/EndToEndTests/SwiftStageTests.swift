import Glibc
import TestSupport
import Testing

extension ProcessTests {
  /// The example of a stage in Swift, run as a program of its own.
  @Suite struct SwiftStageTests {
    @Test func itWorksAndHandsBackAtTheEnd() async throws {
      let redis = try await TestRedis()
      let program = try Program(
        "SwiftStage", [redis.url, "\(redis.folder)/letters.sqlite"],
        output: "\(redis.folder)/letters.log")
      _ = try await redis.cli(
        "LPUSH", "batchd:enqueue", #"{"id":"b1","items":["abc","12","d-4"]}"#)
      await eventually(within: .seconds(20), "b1 has ended") {
        try await redis.cli("HGET", "batchd:progress:b1", "status") == "completed_with_errors"
      }
      #expect(try await redis.cli("HGET", "batchd:items:b1:extraction", "abc") == "3")
      #expect(try await redis.cli("HGET", "batchd:items:b1:extraction", "d-4") == "1")
      #expect(try await redis.cli("HGET", "batchd:errors:b1", "12") == "no letters")
      program.send(SIGTERM)
      #expect(await program.exitStatus(within: .seconds(10)) == 0, "\(program.output)")
    }
  }
}
