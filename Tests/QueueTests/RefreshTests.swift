import Pipeline
import Queue
import Redis
import Testing

/// `batchd_refresh`: all accounts or none, and never one twice at once.
@Suite struct RefreshTests {
  private static let start = QueueBench.start

  private func envelope(_ operation: String, _ account: String, items: String = "[]") -> String {
    #"{"id":"\#(operation).\#(account)","operation":"\#(operation)","account":"\#(account)","items":\#(items)}"#
  }

  private func refresh(
    _ bench: QueueBench, _ operation: String, _ accounts: [String], now: Int = start
  ) async throws -> [[String]] {
    let entries = accounts.flatMap { account -> [RedisArgument] in
      [.text(account), .text("\(operation).\(account)"), .text(envelope(operation, account))]
    }
    let reply = try await bench.fcall(
      "refresh", ["demo", .text(operation), .integer(accounts.count)] + entries + [.integer(now)])
    return (reply.array ?? []).map { ($0.array ?? []).compactMap(\.text) }
  }

  private func admitAll(_ bench: QueueBench, now: Int = start) async throws {
    let entries = try await bench.queue.intake(count: 10, now: now)
    let checked = try bench.queue.check(entries, defaultPipeline: "demo", now: now)
    let outcomes = try await bench.queue.admit(checked, now: now)
    #expect(outcomes.allSatisfy { $0 == .admitted })
  }

  @Test func aSecondOneJoinsUntilTheAccountIsDone() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    #expect(try await refresh(bench, "r1", ["acme", "bolt"]) == [])
    #expect(try await bench.list("enqueue").count == 2)
    // Not admitted yet, however long that takes, and however many others are asked for with it.
    for later in [0, 3_600_000] {
      let now = Self.start + later
      #expect(try await refresh(bench, "r2", ["acme"], now: now) == [["acme", "r1"]])
      #expect(try await refresh(bench, "r2", ["zeta", "bolt"], now: now) == [["bolt", "r1"]])
    }
    #expect(try await bench.list("enqueue").count == 2)
    try await admitAll(bench)
    #expect(try await refresh(bench, "r2", ["acme"]) == [["acme", "r1"]])
    let claims = try await bench.claim(count: 2)
    #expect(claims.count == 2)
    for claim in claims where claim.account == "acme" {
      _ = try await bench.queue.fail(
        claim.lease, delayMilliseconds: nil, error: "no", now: Self.start)
    }
    // One account's end is its own; the other goes on.
    #expect(try await bench.field("progress:r1:acme", "status") == "completed")
    #expect(try await refresh(bench, "r2", ["acme", "bolt"]) == [["bolt", "r1"]])
    #expect(try await refresh(bench, "r2", ["acme"]) == [])
  }

  @Test func whatWasRejectedOrForgottenHoldsNobodyUp() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    #expect(try await refresh(bench, "r1", ["acme"]) == [])
    // A worker took it and died, and no other one is there to see to that.
    _ = try await bench.queue.intake(count: 10, now: Self.start)
    let later = Self.start + 3_600_000
    #expect(try await refresh(bench, "r2", ["acme"], now: later) == [["acme", "r1"]])
    _ = try await bench.queue.client.call(["DEL", "batchd:intake:w1:enqueue"])
    #expect(try await refresh(bench, "r2", ["acme"]) == [])
    _ = try await bench.queue.client.call([
      "HSET", "batchd:batch:r2.acme", "status", "rejected",
    ])
    #expect(try await refresh(bench, "r3", ["acme"]) == [])
  }

  @Test func neitherABacklogNorWhatIsLeftOfAnOperationHoldsItUp() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    #expect(try await refresh(bench, "r1", ["acme"]) == [])
    try await admitAll(bench)
    let client = bench.queue.client
    #expect(try await refresh(bench, "r2", ["acme"]) == [["acme", "r1"]])
    // Its keys were deleted by hand, all but the account's.
    _ = try await client.call(["DEL", "batchd:progress:r1", "batchd:batch:r1.acme"])
    _ = try await client.call(
      ["LPUSH", "batchd:enqueue"] + (0..<12_000).map { .text("foreign \($0)") })
    #expect(try await refresh(bench, "r2", ["acme"]) == [])
    // Behind a backlog it is found for as long as it waits.
    _ = try await client.call(["LPUSH", "batchd:enqueue"] + (0..<99).map { .text("later \($0)") })
    #expect(try await refresh(bench, "r3", ["acme"]) == [["acme", "r2"]])
  }

  @Test func aWrongUseSaysHow() async throws {
    let bench = try await QueueBench()
    for words: [RedisArgument] in [
      [], ["demo", "r1"], ["demo", "r1", 1, "acme"], ["d d", "r", 0],
      ["demo", "r1", 1, "a b", "r1.a", "{}"], ["demo", "r1", 1, "a", "r1 a", "{}"],
      ["demo", "r1", 2, "a", "r1.a", "{}", "a", "r2.a", "{}"],
    ] {
      let error = await #expect(throws: RedisError.self) { try await bench.fcall("refresh", words) }
      #expect(error?.serverCode == "BADARG" && error?.message.contains("ID") == true)
    }
  }
}
