import Logging
import Pipeline
import Queue
import Redis
import Synchronization
import TestSupport

/// One worker's queue on a private Redis, by a clock that the test owns: every verb is given a `now`.
final class QueueBench: Sendable {
  /// Far in the future, so that what expires by the test's clock does not expire by Redis's.
  static let start = 4_000_000_000_000
  static let list = StageList(pipeline: "demo", stage: .extraction)
  static let lease = 15_000

  let redis: TestRedis
  let queue: Queue
  let storeEpoch: StoreEpoch
  private let moment: Moment
  private let task: Task<Void, any Error>

  /// - Parameters:
  ///   - redis: shared with another bench when given.
  ///   - now: when it adopts; by default long enough before the start for gates to be open then.
  init(
    _ worker: String = "w1", on redis: TestRedis? = nil, storeEpoch: Int = 0, now: Int? = nil
  ) async throws {
    let moment = Moment(now ?? (redis == nil ? Self.start - 60_000 : Self.start))
    self.moment = moment
    let redis = if let redis { redis } else { try await TestRedis() }
    self.redis = redis
    try await redis.loadReplacedFunctions()
    let known = StoreEpoch(storeEpoch)
    self.storeEpoch = known
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let queue = Queue(
      try RedisConfiguration(url: redis.url), prefix: "batchd", worker: worker, limits: Limits(),
      store: .init(read: { _ in known.value }, raise: { epoch, _ in known.raise(epoch) }),
      now: { moment.value },
      logger: logger)
    self.queue = queue
    task = Task { try await queue.client.run() }
  }

  deinit { task.cancel() }

  /// Registers the pipeline `demo` of three stages.
  func register(
    host: String = "here", boot: String = "1", store: String = "s1", quiet: Int = 3_600_000,
    counts: Stage = .extraction, now: Int = start
  ) async throws {
    try await queue.register(
      boot: boot, host: host, pid: 7, version: "test", store: store, slots: 4,
      quietMilliseconds: quiet,
      pipelines: [
        .init(name: "demo", stages: [.extraction, .validation, .persistence], counts: counts)
      ], now: now)
    moment.set(now)
  }

  /// Finds the epoch in force at `now`.
  func readopt(now: Int = start) async throws {
    moment.set(now)
    try await queue.readopt()
  }

  /// Pushes and admits envelopes.
  @discardableResult
  func admit(_ envelopes: String..., now: Int = start) async throws -> [Queue.Admission] {
    try await admit(envelopes, now: now)
  }

  @discardableResult
  func admit(_ envelopes: [String], now: Int = start) async throws -> [Queue.Admission] {
    _ = try await queue.client.call(
      ["LPUSH", "batchd:enqueue"] + envelopes.map { .text($0) })
    let entries = try await queue.intake(count: max(1_000, envelopes.count), now: now)
    return try await queue.admit(
      queue.check(entries, defaultPipeline: "demo", now: now), now: now)
  }

  func claim(
    _ list: StageList = list, from source: Queue.Source = .queue, count: Int = 1, now: Int = start
  ) async throws -> [Claim] {
    let claimed = try await queue.claim(
      list, from: source, count: count, leaseMilliseconds: Self.lease, now: now)
    guard case .batches(let claims) = claimed else { return [] }
    return claims
  }

  @discardableResult
  func tick(now: Int) async throws -> Queue.Tick {
    try await queue.tick(maxCrashes: 3, leaseMilliseconds: Self.lease, now: now)
  }

  /// Calls a function as it is, without the queue's repeats.
  func fcall(_ name: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    try await queue.client.call(["FCALL", .text("batchd_\(name)"), 1, "batchd"] + arguments)
  }

  func field(_ key: String, _ field: String) async throws -> String? {
    try await queue.client.call(["HGET", .text("batchd:\(key)"), .text(field)]).text
  }

  func list(_ key: String) async throws -> [String] {
    let reply = try await queue.client.call(["LRANGE", .text("batchd:\(key)"), 0, -1])
    return (reply.array ?? []).compactMap(\.text)
  }

  /// Every key with its value, as DUMP tells it.
  func backup() async throws -> [(key: String, value: [UInt8])] {
    var backup: [(key: String, value: [UInt8])] = []
    for key in try await queue.client.call(["KEYS", "*"]).array?.compactMap(\.text) ?? [] {
      backup.append((key, try await queue.client.call(["DUMP", .text(key)]).bytes ?? []))
    }
    return backup
  }

  /// Puts a backup in the place of all there is, while every connection lives on.
  func restore(_ backup: [(key: String, value: [UInt8])]) async throws {
    _ = try await queue.client.call(["FLUSHDB"])
    for (key, value) in backup {
      _ = try await queue.client.call(["RESTORE", .text(key), 0, .bytes(value)])
    }
  }

  /// How many events of that name there are.
  func events(_ name: String) async throws -> Int {
    let reply = try await queue.client.call(["XRANGE", "batchd:events", "-", "+"])
    return (reply.array ?? []).count { $0.array?[1].array?[1].text == name }
  }
}

extension [RedisArgument] {
  /// ID RUN STAGE FENCE.
  init(_ lease: Lease) {
    self = [
      .text(lease.batch), .integer(lease.run), .text(lease.stage.rawValue),
      .text(lease.fence.description),
    ]
  }
}

/// What the clock of a test shows.
private final class Moment: Sendable {
  private let moment: Mutex<Int>

  init(_ moment: Int) { self.moment = Mutex(moment) }

  var value: Int { moment.withLock { $0 } }

  func set(_ new: Int) { moment.withLock { $0 = new } }
}

/// The epoch that a results store would hold.
final class StoreEpoch: Sendable {
  private let epoch: Mutex<Int>

  init(_ epoch: Int) { self.epoch = Mutex(epoch) }

  var value: Int { epoch.withLock { $0 } }

  func raise(_ new: Int) { epoch.withLock { $0 = Swift.max($0, new) } }
}
