import FoundationEssentials
import Glibc
import Pipeline
import Stores
import TestSupport
import Testing
import Worker

/// An entry over the byte cap is rejected inside Redis: it never travels.
@Suite struct OversizedEntryTests {
  /// In a process of its own, for the memory of the others is not the worker's.
  @Test func oneOf100MiBIsRejectedAndTheWorkerStaysSmall() async {
    await #expect(processExitsWith: .success) {
      let harness = try await WorkerHarness()
      let worker = try harness.worker("w1", [.demo { _, _ in nil }])
      try await harness.enqueue(#"{"id":"before"}"#)
      await harness.waitFor("completed", of: "batch:before")
      let before = try memoryKibibytes("VmRSS")
      _ = try await harness.redis.shell(
        """
        { printf '{"id":"big","payload":"'; head -c 104857600 /dev/zero | tr '\\0' x; printf '"}'; } |
          rcli -x LPUSH batchd:enqueue
        """)
      try await harness.enqueue(#"{"id":"after"}"#)
      await harness.waitFor("completed", of: "batch:after", within: .seconds(60))
      await eventually("the big one is rejected") {
        try await harness.redis.cli("LLEN", "batchd:rejected") == "1"
      }
      let record = try await harness.redis.cli("LINDEX", "batchd:rejected", "0")
      #expect(
        record.contains(
          " 104857625 cut entry: 104857625 bytes, the limit is 1048576 (limits.envelope_bytes): split it\n"
            + #"{"id":"big","payload":"xxx"#), "\(record.prefix(300))")
      #expect(record.utf8.count < 1_000)
      let growth = try memoryKibibytes("VmHWM") - before
      #expect(growth < 32 * 1024, "\(growth) KiB more than the \(before) KiB before")
      let answer = try await harness.redis.cli("FCALL", "batchd_reenter", "1", "batchd", "0")
      #expect(answer.hasPrefix("CUT only the beginning of that entry was kept"))
      try await worker.stop()
    }
  }

  @Test func theRejectedListIsBoundedInEntriesAndBytes() async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", [.demo { _, _ in nil }]) {
      $0.limits.rejectedCount = 10
      $0.limits.rejectedBytes = 4_000
    }
    await harness.waitForWorker("w1")
    _ = try await harness.redis.shell(
      """
      for i in $(seq 30); do rcli LPUSH batchd:enqueue "small $i"; done
      for i in $(seq 6); do rcli LPUSH batchd:enqueue "$(printf 'large %900s' $i)"; done
      """)
    await eventually("all are rejected") { try await harness.field("stats", "rejected") == "36" }
    let held = try await harness.redis.shell(
      "rcli EVAL 'local n = 0 for _, r in ipairs(redis.call(\"LRANGE\", KEYS[1], 0, -1)) do n = n + #r end return n' 1 batchd:rejected"
    )
    let bytes = try #require(Int(held.split(separator: "\n")[0]))
    #expect(bytes <= 4_000)
    #expect(try await harness.field("meta", "rejected_held") == "\(bytes)")
    #expect(try await harness.redis.cli("LLEN", "batchd:rejected") == "4")
    #expect(try await harness.field("stats", "rejected_trimmed") == "32")
    let newest = try await harness.redis.cli("LINDEX", "batchd:rejected", "0")
    #expect(newest.hasSuffix(" 6"))
    try await worker.stop()
  }
}

/// A line of /proc/self/status, in KiB.
private func memoryKibibytes(_ name: String) throws -> Int {
  let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("\(name):") })
  return try #require(
    line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
}
