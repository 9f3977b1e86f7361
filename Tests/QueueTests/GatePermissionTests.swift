import Queue
import Redis
import TestSupport
import Testing

/// The gate by a clock that the test owns: 16 waiters that come late, die, or hear too late what they were told.
@Suite struct GatePermissionTests {
  private static let interval = 1_000
  private static let margin = 15

  private struct Waiter {
    var wakes: Int
    /// AT and GENERATION of its permission.
    var permission: (at: Int, generation: Int)?
  }

  private struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
  }

  @Test(arguments: [1, 2, 3]) func sixteenLateWaitersNeverComeTooNearAndUseNearlyAll(_ seed: Int)
    async throws
  {
    let bench = try await QueueBench()
    var random = Random(state: UInt64(seed))
    var waiters = (0..<16).map { Waiter(wakes: QueueBench.start + 2_000 + $0, permission: nil) }
    var sent: [Int] = []
    var now = 0
    var late = 0
    while sent.count < 200 {
      let index = waiters.indices.min { waiters[$0].wakes < waiters[$1].wakes }!
      now = waiters[index].wakes
      let wasLate = waiters[index].permission.map { now - $0.at > Self.margin / 4 } ?? false
      if wasLate { late += 1 }
      try await step(bench, &waiters[index], &sent, &random)
    }
    let gaps = zip(sent, sent.dropFirst()).map { $1 - $0 }
    // Each may be sent up to half the margin after its permission.
    #expect(gaps.min()! >= Self.interval + Self.margin - Self.margin / 2)
    let use = Double(Self.interval * gaps.count) / Double(sent.last! - sent[0])
    print("gate, seed \(seed): use \(use), \(late) came late")
    #expect(use >= 0.95)
    #expect(late > 100, "the fault must have fired")
  }

  /// One call of a waiter at its moment, and when it comes again.
  private func step(
    _ bench: QueueBench, _ waiter: inout Waiter, _ sent: inout [Int], _ random: inout Random
  ) async throws {
    let now = waiter.wakes
    let base: [RedisArgument] = [1, "g"]
    let grid: [RedisArgument] = [.integer(Self.interval), .integer(Self.margin)]
    let reply: RedisValue
    if let (at, generation) = waiter.permission {
      reply = try await bench.fcall(
        "gate_confirm",
        base + [.integer(at), .integer(generation)] + grid + ["", "", .integer(now)])
    } else {
      reply = try await bench.fcall("gate_take", base + grid + [2_000, "", "", .integer(now)])
    }
    let parts = try #require(reply.array)
    let moment = try #require(parts[2].integer)
    if parts.count == 4 { waiter.permission = (moment, try #require(parts[3].integer)) }
    // Mostly a few milliseconds, sometimes as after a long pause of the process.
    let lateness =
      Int.random(in: 0..<100, using: &random) == 0
      ? Int.random(in: 0..<300, using: &random) : Int.random(in: 0..<25, using: &random)
    switch parts[0].text {
    case "granted":
      let replyTook = Int.random(in: 0..<9, using: &random)
      if now + replyTook > moment + Self.margin / 2 {
        waiter.wakes = now + replyTook
      } else {
        sent.append(now + replyTook)
        waiter.permission = nil
        waiter.wakes = now + Int.random(in: 5..<200, using: &random)
      }
    case "reserved", "early": waiter.wakes = moment + lateness
    case "closed":
      waiter.permission = nil
      waiter.wakes = moment + lateness
    default:
      #expect(parts[0].text == "void")
      waiter.permission = nil
      waiter.wakes = now + 1
    }
  }

  @Test func aClosingStartsFromThePermissionUsedLastAndKeepsALongerOne() async throws {
    let bench = try await QueueBench()
    let start = QueueBench.start
    func take(_ now: Int) async throws -> [RedisValue] {
      try await bench.fcall("gate_take", [1, "g", 1_000, 15, 2_000, "", "", .integer(now)])
        .array ?? []
    }
    func close(_ milliseconds: Int, _ now: Int) async throws -> Int? {
      try await bench.fcall("gate_close", [1, "g", .integer(milliseconds), "no", .integer(now)])
        .array?[1].integer
    }
    #expect(try await take(start)[0].text == "granted")
    let reserved = try await take(start + 1)
    #expect(reserved[0].text == "reserved" && reserved[2].integer == start + 1_015)
    // The reservation is void and delays nobody.
    #expect(try await close(1_000, start + 10) == start + 1_015)
    #expect(try await close(5_000, start + 20) == start + 5_020)
    // What prolongs nothing takes away no reason.
    #expect(try await close(1_000, start + 30) == start + 5_020)
    #expect(try await bench.events("gate_closed") == 2)
    let late = try await bench.fcall(
      "gate_confirm",
      [
        1, "g", .integer(start + 1_015), reserved[3].integer.map { .integer($0) } ?? "", 1_000, 15,
        "", "", .integer(start + 5_020),
      ])
    #expect(late.array?[0].text == "void")
    #expect(try await take(start + 5_020)[0].text == "granted")
  }

  /// What a service asked for outlives a restart of Redis and keeps its length when the clock steps.
  @Test(arguments: [0, -3_600_000, 600_000]) func aClosingOutlivesANewEpoch(_ step: Int)
    async throws
  {
    let bench = try await QueueBench()
    let start = QueueBench.start
    func take(_ now: Int) async throws -> [RedisValue] {
      let epoch = RedisArgument.integer(bench.queue.adoption.epoch)
      let reply = try await bench.fcall(
        "gate_take", [epoch, "g", 1_000, 15, 2_000, "", "", .integer(now)])
      return reply.array ?? []
    }
    _ = try await bench.fcall("gate_close", [1, "g", 1_200_000, "429", .integer(start)])
    for _ in 1...2 {
      _ = try await bench.queue.client.call(["HSET", "batchd:meta", "run_id", "another"])
      try await bench.readopt(now: start + 1_000)
    }
    var now = start + 2_000
    if step != 0 {
      let epoch = try #require(try await bench.field("meta", "epoch"))
      now += step
      _ = try await bench.fcall(
        "adopt", [0, .text("\(epoch) \(start + 2_000)"), .integer(now)])
      try await bench.readopt(now: now)
    }
    let opens = start + 1_200_000 + step
    let closed = try await take(now)
    #expect(closed[0].text == "closed" && closed[2].integer == opens)
    #expect(try await take(opens - 2_001)[0].text == "closed")
    #expect(try await take(opens)[0].text == "granted")
    // Once it is over it is over, by whichever clock it was written.
    _ = try await bench.queue.client.call(["HSET", "batchd:meta", "run_id", "yet another"])
    try await bench.readopt(now: opens + 5_000)
    #expect(try await take(opens + 5_000)[2].integer == opens + 6_015)
  }
}
