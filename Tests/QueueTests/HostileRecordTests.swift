import Pipeline
import Queue
import Redis
import TestSupport
import Testing

/// Half-written batches, places that name nothing, counts that are none: repaired, or failed with a reason, by tick.
@Suite struct HostileRecordTests {
  private static let fields = [
    "status", "place", "stage", "stages", "run", "attempt", "retry_count", "pipeline", "operation",
    "account", "number", "priority", "items_total", "items_done", "items_failed", "counts",
    "admitted_at", "updated_at", "started_at", "fence", "worker", "crashes", "item_errors", "alone",
    "cancel", "settled",
  ]
  /// nil deletes the field.
  private static let values: [String?] = [
    nil, "", "garbage", "-1", "1e999", "nan", "\u{0}", "batchd:delayed", "completed!",
    String(repeating: "9", count: 400), String(repeating: "x", count: 100_000),
  ]

  @Test func everyFieldOfEveryBatchMayBeGarbled() async throws {
    var hostile = try await HostileBench()
    var cases = 0
    for field in Self.fields {
      for value in Self.values {
        cases += 1
        try await hostile.seed()
        for victim in HostileBench.victims {
          if let value {
            try await hostile.redis("HSET", "batchd:batch:\(victim)#", field, value)
          } else {
            try await hostile.redis("HDEL", "batchd:batch:\(victim)#", field)
          }
        }
        let what = "\(field) = \(value.map { String($0.prefix(20)) } ?? "nothing")"
        do {
          try await Self.expectEnds(&hostile, what)
        } catch {
          Issue.record("\(what): \(error)")
          hostile = try await HostileBench()
        }
      }
    }
    print("hostile records: \(cases) of (field, value), \(4 * cases) batches ended")
  }

  private static func expectEnds(_ hostile: inout HostileBench, _ what: String) async throws {
    try await hostile.admitGood()
    let good = hostile.named("good#")
    #expect(try await hostile.work(until: [good]), "\(what): the good one is stopped")
    #expect(try await hostile.bench.field("progress:\(good)", "status") == "completed", "\(what)")
    let operation = hostile.named("o#")
    _ = try await hostile.work(until: [operation], victims: true)
    for victim in HostileBench.victims {
      let reply = try await hostile.redis("HMGET", "batchd:batch:\(victim)#", "status", "error")
      let parts = reply.array ?? []
      let status = parts[0].text ?? ""
      #expect(
        ["completed", "completed_with_errors", "failed", "cancelled"].contains(status),
        "\(what): \(victim) is \(status.prefix(40))")
      if status == "failed" { #expect(parts[1].text?.isEmpty == false, "\(what)") }
    }
  }
}
