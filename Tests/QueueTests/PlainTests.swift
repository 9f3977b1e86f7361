import Pipeline
import Queue
import Redis
import Testing

/// The short way of a batch (plain.lua) leads where the long one does, and ends with the first thing that is not plain.
@Suite struct PlainTests {
  private static let start = QueueBench.start

  /// Runs the batch `a` through two stages in one lease and the third after a trip through its list.
  /// - Returns: its record, progress and outbox entry, without what is given anew each time.
  private func life(isPlain: Bool) async throws -> [String] {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","operation":"o"}"#)
    #expect(try await bench.field("batch:a", "plain") == "1 \(Self.start)")
    if !isPlain { _ = try await bench.queue.client.call(["HDEL", "batchd:batch:a", "plain"]) }
    let first = try await bench.claim(now: Self.start + 10)
    var claim = try #require(first.first)
    for (index, goesOn) in [true, false].enumerated() {
      let now = Self.start + 20 * (index + 1)
      let answer = try await bench.queue.finish(
        [.init(claim: claim, output: .integer(Int64(index)), goesOn: goesOn)],
        leaseMilliseconds: QueueBench.lease, now: now)
      if case .next(let next)? = answer.first { claim = next }
    }
    let last = StageList(pipeline: "demo", stage: .persistence)
    claim = try #require(try await bench.claim(last, now: Self.start + 50).first)
    let ended = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: true)], leaseMilliseconds: QueueBench.lease,
      now: Self.start + 60)
    guard case .ended? = ended.first else {
      Issue.record("it has not ended: \(ended)")
      return []
    }
    #expect(claim.lease.fence.counter == 2)
    var seen: [String] = []
    for key in ["batch:a", "progress:o", "output:a", "stats"] {
      seen += try await fields(of: key, bench).map { "\(key) \($0)" }
    }
    let told = try await bench.queue.outbox(count: 9, now: Self.start + 70)
    seen.append("\(told.flatMap(\.batches))")
    let leases = try await bench.queue.client.call(["ZCARD", "batchd:leases"])
    return seen + ["leases \(leases.integer ?? -1)"]
  }

  /// Of a hash, but for `plain`, in which the two ways differ.
  private func fields(of key: String, _ bench: QueueBench) async throws -> [String] {
    let reply = try await bench.queue.client.call(["HGETALL", .text("batchd:\(key)")])
    let flat = (reply.array ?? []).compactMap(\.text)
    return stride(from: 0, to: flat.count - 1, by: 2).map { "\(flat[$0])=\(flat[$0 + 1])" }
      .filter { !$0.hasPrefix("plain=") }.sorted()
  }

  @Test func bothWaysLeaveTheSameRecord() async throws {
    let short = try await life(isPlain: true)
    #expect(short == (try await life(isPlain: false)))
    #expect(short.contains("batch:a status=completed"))
    #expect(short.last == "leases 0")
  }

  @Test func accountsItemsAndPrioritiesAreNotPlain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(
      #"{"id":"a","account":"x"}"#, #"{"id":"b","items":["i"]}"#, #"{"id":"c","priority":"high"}"#)
    for id in ["a", "b", "c"] {
      #expect(try await bench.field("batch:\(id)", "plain") == nil, "\(id)")
    }
  }

  @Test func aCancelledBatchIsNotPlainAnyMore() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let claim = try #require(try await bench.claim().first)
    _ = try await bench.fcall("cancel", ["a", .integer(Self.start + 5)])
    #expect(try await bench.field("batch:a", "plain") == nil)
    let answer = try await bench.queue.finish(
      [.init(claim: claim, output: nil, goesOn: true)], leaseMilliseconds: QueueBench.lease,
      now: Self.start + 10)
    guard case .ended? = answer.first else {
      Issue.record("\(answer)")
      return
    }
    #expect(try await bench.field("batch:a", "status") == "cancelled")
  }

  @Test func anotherLifeOfTheIDIsPlainAgain() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let claim = try #require(try await bench.claim().first)
    _ = try await bench.queue.fail(
      claim.lease, delayMilliseconds: nil, error: "no", now: Self.start + 5)
    try await bench.admit(#"{"id":"a","rerun":true}"#, now: Self.start + 10)
    #expect(try await bench.field("batch:a", "plain") == "2 \(Self.start + 10)")
    let second = try #require(try await bench.claim(now: Self.start + 20).first)
    #expect(second.lease.run == 2)
    #expect(second.lease.fence > claim.lease.fence)
  }

  @Test func aZombieOfAPlainBatchChangesNothing() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let zombie = try #require(try await bench.claim().first)
    let late = Self.start + QueueBench.lease + 1
    try await bench.tick(now: late)
    let answers = try await bench.queue.finish(
      [.init(claim: zombie, output: .integer(1), goesOn: true)],
      leaseMilliseconds: QueueBench.lease, now: late)
    guard case .lost? = answers.first else {
      Issue.record("\(answers)")
      return
    }
    #expect(try await bench.field("batch:a", "status") == "processing")
    #expect(try await bench.field("output:a", "extraction") == nil)
  }

  /// Its own words with one that differs: the fence is of an older epoch, or the run is another.
  @Test(arguments: [2, 1], [2, 1])
  func whoeverDoesNotHoldTheLeaseChangesNothing(epoch: Int, run: Int) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let lease = try #require(try await bench.claim().first).lease
    if epoch == 2 { _ = try await bench.fcall("adopt", [0, "1", .integer(Self.start)]) }
    let reply = try await bench.fcall(
      "finish",
      [
        .integer(epoch), .integer(QueueBench.lease), 1, "a", .integer(run), "extraction",
        .text(lease.fence.description), "1", "1", "{}", .integer(Self.start + 1),
      ])
    let isHeld = epoch == 1 && run == 1
    let answer = reply.array?[1]
    #expect((answer?.array?[0].text ?? answer?.text) == (isHeld ? "next" : "lost"))
    let stage = try await bench.field("batch:a", "stage")
    #expect(stage == (isHeld ? "validation" : "extraction"))
    #expect(try await bench.field("output:a", "extraction") == (isHeld ? "{}" : nil))
  }

  /// The entry of many runs, of which one began another life meanwhile.
  @Test func retentionStartsForEachRunOfAnEntry() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let ids = ["a", "b", "c"]
    try await bench.admit(ids.map { #"{"id":"\#($0)","operation":"o"}"# })
    var claims = try await bench.claim(count: 3)
    while !claims.isEmpty {
      claims = try await bench.queue.finish(
        claims.map { .init(claim: $0, output: .integer(1), goesOn: true) },
        leaseMilliseconds: QueueBench.lease, now: Self.start
      ).compactMap { if case .next(let next) = $0 { next } else { nil } }
    }
    try await bench.admit(#"{"id":"b","operation":"o","rerun":true}"#, now: Self.start + 5)
    let told = try await bench.queue.outbox(count: 9, now: Self.start + 10)
    #expect(told.map { $0.batches.map(\.batch) } == [ids])
    try await bench.queue.archive(told, now: Self.start + 10)
    for key in ["batch", "input", "output"] {
      for id in ids {
        let expiry = try await bench.queue.client.call([
          "PEXPIRETIME", .text("batchd:\(key):\(id)"),
        ]).integer
        // Of the other life only an output is not there yet.
        let lives = key == "output" ? -2 : -1
        let archived = Self.start + 10 + 1_000 * Limits().retentionSeconds
        #expect(expiry == (id == "b" ? lives : archived), "\(key):\(id)")
      }
    }
    #expect(try await bench.queue.client.call(["XLEN", "batchd:ended"]).integer == 0)
  }

  /// Its reply was lost, and nothing but the short way has touched the batch.
  @Test(arguments: [1, 2, 3]) func theWordOfAStageMayBeSaidAgain(stage: Int) async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a","operation":"o"}"#)
    var claim = try #require(try await bench.claim().first)
    func finish() async throws -> Queue.Finished? {
      try await bench.queue.finish(
        [.init(claim: claim, output: .integer(1), goesOn: true)],
        leaseMilliseconds: QueueBench.lease, now: Self.start + 5
      ).first
    }
    for _ in 1..<stage {
      if case .next(let next)? = try await finish() { claim = next }
    }
    func everything() async throws -> [String] {
      let others = try await bench.backup().filter { $0.key != "batchd:batch:a" }
      return try await fields(of: "batch:a", bench)
        + others.map { "\($0.key)=\($0.value)" }.sorted()
    }
    let first = try #require(try await finish())
    let before = try await everything()
    #expect("\(try #require(try await finish()))" == "\(first)")
    #expect(try await everything() == before)
  }

  /// A worker of revision 8 does not ask for the short answers, and reads the long ones.
  @Test func whoeverDoesNotAskForShortAnswersGetsTheLongOnes() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    let envelopes = ["a", "b"].map { #"{"id":"\#($0)","operation":"o"}"# }
    try await bench.admit(envelopes)
    func claim(_ more: [RedisArgument]) async throws -> [RedisValue] {
      let reply = try await bench.fcall(
        "claim",
        [
          1, "w1", .text("1/\(more.count)"), "demo", "extraction", "queue", 1,
          .integer(QueueBench.lease),
        ] + more + [.integer(Self.start + 1)])
      return Array(reply.array?.dropFirst(2) ?? [])
    }
    func finish(_ id: String, _ fence: String, _ more: [RedisArgument]) async throws -> RedisValue?
    {
      let job: [RedisArgument] = [.text(id), 1, "extraction", .text(fence), "1", "0", ""]
      let reply = try await bench.fcall(
        "finish",
        [1, .integer(QueueBench.lease), 1] + job + more + [.integer(Self.start + 2)])
      return reply.array?.last
    }
    let long = try #require(try await claim([]).first?.array)
    #expect(long.prefix(9).map(\.text) == ["a", "1", "1", "1-1", "o", "", "0", "0", envelopes[0]])
    #expect(long.dropFirst(9).map { $0.text ?? "\($0)" } == ["", "0", "array([])", "array([])"])
    #expect(try await claim(["short"]).map(\.text) == ["b 1 1-2 o", envelopes[1]])
    let answer = try await finish("a", "1-1", [])?.array ?? []
    #expect(
      answer.map { $0.text ?? "\($0)" } == ["next", "validation", "array([])", "array([])", ""])
    #expect(try await finish("b", "1-2", ["short"])?.text == "next validation")
  }

  /// After a FUNCTION FLUSH a worker of the revision before may have been the first to load its own.
  @Test func anOlderLibraryThatRefusesIsReplaced() async throws {
    let bench = try await QueueBench()
    try await bench.register()
    try await bench.admit(#"{"id":"a"}"#)
    let older = """
      #!lua name=batchd
      redis.register_function('batchd_revision', function() return 1 end)
      redis.register_function('batchd_claim', function()
        return redis.error_reply('BADARG one argument too many: "short"')
      end)
      """
    _ = try await bench.queue.client.call(["FUNCTION", "LOAD", "REPLACE", .text(older)])
    #expect(try await bench.claim().map(\.lease.batch) == ["a"])
  }
}
