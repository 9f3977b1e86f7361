import Pipeline
import Queue
import Redis
import TestSupport

/// A queue in which something is broken on purpose, and what must be true of it all the same.
struct HostileBench {
  let bench: QueueBench
  private(set) var now = QueueBench.start
  private(set) var round = 0

  /// The batches of one round: one in its list, one in the lane behind it, one delayed, one under a lease.
  static let victims = ["queued", "waits", "delayed", "leased"]

  init() async throws {
    bench = try await QueueBench()
    try await bench.register(now: now)
  }

  /// What stands for `#` in a key: the number of the round.
  func named(_ key: String) -> String {
    key.split(separator: "#", omittingEmptySubsequences: false).joined(separator: "\(round)")
  }

  mutating func seed() async throws {
    round += 1
    let common = named(#""operation":"o#","items":["A","B"]"#)
    try await bench.admit(named(#"{"id":"leased#",\#(common),"account":"x"}"#), now: now)
    var claims: [Claim] = []
    // What earlier rounds left behind is dropped by the way.
    for _ in 0..<20 where claims.isEmpty { claims = try await bench.claim(now: now) }
    let claim = try Self.only(claims)
    _ = try await bench.queue.checkpoint(
      claim, ["A": .done(.string("x")), "B": .failed("no")], cursor: .integer(1),
      leaseMilliseconds: QueueBench.lease, now: now)
    _ = try await bench.fcall(
      "gate_take", [epoch, "g", 1000, 15, 2000, "", "", .integer(now)])
    try await bench.admit(
      named(#"{"id":"queued#",\#(common),"account":"a"}"#),
      named(#"{"id":"waits#",\#(common),"account":"a"}"#),
      named(#"{"id":"delayed#",\#(common),"delay":5}"#), now: now)
  }

  private var epoch: RedisArgument { .integer(bench.queue.adoption.epoch) }

  private static func only(_ claims: [Claim]) throws -> Claim {
    guard claims.count == 1 else { throw Failure(description: "\(claims.count) claims, not 1") }
    return claims[0]
  }

  struct Failure: Error { let description: String }

  @discardableResult
  func redis(_ words: String...) async throws -> RedisValue {
    try await bench.queue.client.call(words.map { .text(named($0)) })
  }

  /// Lets time pass and works on all that can be claimed until the operations have ended.
  /// - Parameter victims: whether each batch of this round must have ended, too.
  mutating func work(until operations: [String], victims: Bool = false) async throws -> Bool {
    for _ in 0..<14 {
      try await bench.tick(now: now)
      try await beat()
      for source in [Queue.Source.queue, .suspects] {
        for stage in [Stage.extraction, .validation, .persistence] {
          try await finishAll(StageList(pipeline: "demo", stage: stage), source)
        }
      }
      let runs = try await bench.queue.outbox(count: 100, now: now)
      try await bench.queue.archive(runs, now: now)
      var ended = true
      for operation in operations {
        let found = try await redis("HGET", "batchd:progress:\(operation)", "finished_at")
        ended = ended && !found.isNull
      }
      for victim in victims ? Self.victims : [] {
        let status = try await redis("HGET", "batchd:batch:\(victim)#", "status").text
        ended = ended && !["pending", "processing", "retrying"].contains(status ?? "pending")
      }
      if ended { return true }
      now += 20_000
    }
    return false
  }

  private func finishAll(_ list: StageList, _ source: Queue.Source) async throws {
    for claim in try await bench.claim(list, from: source, count: 50, now: now) {
      _ = try await bench.queue.finish(
        [.init(claim: claim, output: .string("out"), goesOn: false)],
        leaseMilliseconds: QueueBench.lease, now: now)
    }
  }

  /// What a worker does at each beat.
  func beat() async throws {
    _ = try await bench.queue.renew(
      [], boot: "1", lists: [QueueBench.list], counters: [("finished", "1")],
      leaseMilliseconds: QueueBench.lease, now: now)
  }

  /// A batch of somebody else.
  mutating func admitGood() async throws {
    let envelope = named(#"{"id":"good#","account":"good","items":["A"]}"#)
    do {
      try await bench.admit(envelope, now: now)
    } catch let error as RedisError where error.serverCode == "WRONGTYPE" {
      // Whoever pushes is told so, until the next worker looks.
      _ = try await bench.queue.intake(count: 1, now: now)
      try await bench.admit(envelope, now: now)
    }
  }

  /// The sum of an operation's states, and its total.
  func counts(_ operation: String) async throws -> (sum: Int, total: Int, fields: [String: String])
  {
    let flat = try await redis("HGETALL", "batchd:progress:\(operation)").array ?? []
    var fields: [String: String] = [:]
    for at in stride(from: 0, to: flat.count - 1, by: 2) {
      fields[flat[at].text ?? ""] = flat[at + 1].text
    }
    let states = [
      "pending", "processing", "retrying", "completed", "completed_with_errors", "failed",
      "cancelled",
    ]
    let sum = states.reduce(0) { $0 + (fields[$1].flatMap { Int($0) } ?? -1_000) }
    return (sum, fields["total"].flatMap { Int($0) } ?? -1, fields)
  }
}
