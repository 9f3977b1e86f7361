import Queue
import Redis
import Testing

/// Rejected entries are bounded in number and in bytes.
@Suite struct RejectedBoundsTests {
  private func limit(_ bench: QueueBench, count: Int, bytes: Int) async throws {
    try await bench.register()
    _ = try await bench.queue.client.call([
      "HSET", "batchd:meta", "rejected_count", .integer(count), "rejected_bytes", .integer(bytes),
    ])
  }

  private func held(_ bench: QueueBench) async throws -> Int? {
    try await bench.field("meta", "rejected_held").flatMap { Int($0) }
  }

  @Test func theirBytesAreBoundedAndCounted() async throws {
    let bench = try await QueueBench()
    try await limit(bench, count: 100, bytes: 1_000)
    for _ in 0..<10 {
      #expect(try await bench.admit(String(repeating: "x", count: 240)) == [.rejected])
    }
    let records = try await bench.list("rejected")
    let bytes = records.reduce(0) { $0 + $1.utf8.count }
    #expect(bytes <= 1_000 && records.count >= 2)
    #expect(try await held(bench) == bytes)
    #expect(try await bench.field("stats", "rejected_trimmed") == "\(10 - records.count)")
  }

  @Test func aCountThatWasLostIsNeverNegative() async throws {
    let bench = try await QueueBench()
    try await limit(bench, count: 2, bytes: 10_000)
    for _ in 0..<2 { try await bench.admit(String(repeating: "x", count: 1_000)) }
    try await limit(bench, count: 1, bytes: 10_000)
    _ = try await bench.queue.client.call(["HDEL", "batchd:meta", "rejected_held"])
    try await bench.admit("x")
    #expect(try await bench.list("rejected").count == 1)
    #expect(try await held(bench) == 0)
  }
}
