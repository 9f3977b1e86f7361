import Pipeline
import Queue
import Redis
import Testing

/// Who may have a permission of the gate, and who need not wait for one.
@Suite struct GateHolderTests {
  private static let start = QueueBench.start

  @Test func whoLostItsLeaseGetsNoPermission() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let lease = try await bench.claim()[0].lease
    let holder: [RedisArgument] = [.text(lease.batch), .text(lease.fence.description)]
    func take() async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take", [1, "g", 1_000, 15, 2_000] + holder + [.integer(Self.start)]
      ).array ?? []
    }
    #expect(try await take()[0].text == "granted")
    let reserved = try await take()
    #expect(reserved[0].text == "reserved")
    let at = try #require(reserved[2].integer)
    let generation = try #require(reserved[3].integer)
    try await bench.queue.handBack([lease], now: Self.start)
    let before = try await bench.queue.client.call(["HGETALL", "batchd:gate:g"])
    #expect(try await take()[0].text == "lost")
    let late = try await bench.fcall(
      "gate_confirm",
      [1, "g", .integer(at), .integer(generation), 1_000, 15] + holder + [.integer(at)])
    #expect(late.array?[0].text == "lost")
    #expect(try await bench.queue.client.call(["HGETALL", "batchd:gate:g"]) == before)
  }

  @Test func noServiceClosesItForMoreThanAnHour() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let reply = try await bench.fcall(
      "gate_close", [1, "g", 86_400_000, "no", .integer(Self.start)])
    #expect(reply.array?[1].integer == Self.start + 3_600_000)
  }

  @Test func aNewEpochClosesItForTheLongerInterval() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take(_ interval: Int) async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take",
        [
          .integer(bench.queue.adoption.epoch), "g", .integer(interval), 15, 9_000, "", "",
          .integer(Self.start),
        ]
      ).array ?? []
    }
    _ = try await take(1_000)
    for (raised, interval, at) in [(9, 2_000, 2_015), (19, 500, 2_000)] {
      bench.storeEpoch.raise(raised)
      try await bench.readopt()
      let answer = try await take(interval)
      #expect(answer[0].text == "reserved" && answer[2].integer == Self.start + at)
    }
  }

  @Test func anAdoptionInTheFutureDoesNotShutIt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    _ = try await bench.queue.client.call([
      "HSET", "batchd:meta", "adopted_ms", .integer(Self.start + 86_400_000),
    ])
    let reply = try await bench.fcall(
      "gate_take", [1, "g", 1_000, 15, 9_000, "", "", .integer(Self.start)])
    #expect(reply.array?[2].integer == Self.start + 1_015)
  }

  @Test func aDeadlineFurtherAwayThanAnHourIsClamped() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take() async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take", [1, "g", 1_000, 15, 9_000_000, "", "", .integer(Self.start)]
      ).array ?? []
    }
    _ = try await take()
    let far = RedisArgument.integer(Self.start + 86_400_000)
    _ = try await bench.queue.client.call([
      "HSET", "batchd:gate:g", "next_ms", far, "free_ms", far,
    ])
    let opens = Self.start + 3_600_000
    #expect(try await take()[2].integer == opens)
    let confirmed = try await bench.fcall(
      "gate_confirm", [1, "g", .integer(opens), 1, 1_000, 15, "", "", .integer(opens)])
    #expect(confirmed.array?[0].text == "granted")
  }

  /// Nobody knows when the last permission was.
  @Test func aGarbledOneIsClosedForTheLongerInterval() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take(_ interval: Int) async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take", [1, "g", .integer(interval), 15, 9_000, "", "", .integer(Self.start)]
      ).array ?? []
    }
    _ = try await take(1_000)
    for (interval, at) in [(2_000, 2_015), (500, 2_000)] {
      _ = try await bench.queue.client.call(["HSET", "batchd:gate:g", "next_ms", "garbage"])
      let answer = try await take(interval)
      #expect(answer[0].text == "reserved" && answer[2].integer == Self.start + at)
    }
  }

  @Test func aLongerIntervalHoldsForThoseBehindIt() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take(_ interval: Int, _ now: Int) async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take", [1, "g", .integer(interval), 15, 9_000, "", "", .integer(now)]
      ).array ?? []
    }
    for _ in 0..<2 { _ = try await take(1_000, Self.start) }
    let now = Self.start + 1_015
    let confirmed = try await bench.fcall(
      "gate_confirm",
      [1, "g", .integer(now), 1, 5_000, 15, "", "", .integer(now)])
    #expect(confirmed.array?[0].text == "granted")
    #expect(try await take(5_000, now)[2].integer == now + 5_015)
  }

  @Test func nobodyIsBeforeItsTurn() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take() async throws -> [RedisValue] {
      try await bench.fcall("gate_take", [1, "g", 1_000, 15, 9_000, "", "", .integer(Self.start)])
        .array ?? []
    }
    for offset in [0, 1_015, 2_030] { #expect(try await take()[2].integer == Self.start + offset) }
    let early = try await bench.fcall(
      "gate_confirm",
      [
        1, "g", .integer(Self.start + 2_030), 1, 1_000, 15, "", "", .integer(Self.start + 1_015),
      ])
    #expect(early.array?[0].text == "early")
    #expect(early.array?[2].integer == Self.start + 2_030)
  }

  @Test func whatIsTooFarAwayIsNotReserved() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    func take(patience: Int) async throws -> [RedisValue] {
      try await bench.fcall(
        "gate_take", [1, "g", 1_000, 15, .integer(patience), "", "", .integer(Self.start)]
      ).array ?? []
    }
    #expect(try await take(patience: 0)[0].text == "granted")
    let closed = try await take(patience: 1_014)
    #expect(closed[0].text == "closed" && closed[2].integer == Self.start + 1_015)
    let reserved = try await take(patience: 1_015)
    #expect(reserved[0].text == "reserved" && reserved[2].integer == Self.start + 1_015)
  }
}
