internal import Pipeline
public import Redis
import Synchronization

/// Makes connections usable: the function library is in force, and the epoch says whether this Redis may have
/// forgotten something. Every verb carries the epoch.
public final class Adoption: Sendable {
  /// How the epoch that the results store knows of a prefix is read and raised.
  public struct EpochStore: Sendable {
    let read: @Sendable (_ prefix: String) async throws -> Int
    let raise: @Sendable (_ epoch: Int, _ prefix: String) async throws -> Void

    public init(
      read: @escaping @Sendable (_ prefix: String) async throws -> Int,
      raise: @escaping @Sendable (_ epoch: Int, _ prefix: String) async throws -> Void
    ) {
      self.read = read
      self.raise = raise
    }
  }

  /// Why a new epoch must begin although Redis is the one that the last caller knew.
  enum Doubt {
    /// Its clock jumped, in this epoch.
    case clock(in: Int)
    /// It gave out a fence that was given out before: a backup was restored into the running server.
    case fence
  }

  private struct State {
    var epoch = 0
    var fence = Fence(epoch: 0, counter: 0)
    var clock: RedisClock?
    var adopted = ContinuousClock.now
    var registration: (arguments: [RedisArgument], epoch: Int)?
    var registrations = 0
    var onNewEpoch: @Sendable () -> Void = {}
  }

  private let keys: Keys
  private let store: EpochStore
  private let now: (@Sendable () -> Int)?
  private let state = Mutex(State())

  /// - Parameter now: for a test that owns the clock: what it shows whenever a connection is adopted.
  public init(keys: Keys, store: EpochStore, now: (@Sendable () -> Int)? = nil) {
    self.keys = keys
    self.store = store
    self.now = now
  }

  /// The epoch in force; 0 before the first adoption.
  public var epoch: Int { state.withLock { $0.epoch } }

  /// What every call carries: the epoch in force, and what Redis's clock shows now unless a test owns it.
  func stamp(ownsClock: Bool) -> (epoch: Int, text: String) {
    state.withLock { state in
      guard let clock = state.clock, !ownsClock else {
        return (state.epoch, "\(state.epoch)")
      }
      return (state.epoch, "\(state.epoch) \(clock.now)")
    }
  }

  /// What this worker registered with, when Redis may have forgotten it or remember an earlier life in its place: before
  /// the epoch in force began, or until the doubt of it.
  var staleRegistration: [RedisArgument]? {
    state.withLock { state in
      guard let last = state.registration, last.epoch != state.epoch else { return nil }
      return last.arguments
    }
  }

  /// Notes that this worker registered so in `epoch`.
  func noteRegistration(_ arguments: [RedisArgument], in epoch: Int) {
    state.withLock { state in
      state.registration = (arguments, epoch)
      state.registrations += 1
    }
  }

  /// How often this worker has registered. After each time Redis may have forgotten what the worker told it before.
  public var registrations: Int { state.withLock { $0.registrations } }

  /// Has the worker register again before its next call.
  /// - Returns: false when it never did.
  func doubtRegistration() -> Bool {
    state.withLock { state in
      // There is no epoch 0.
      state.registration?.epoch = 0
      return state.registration != nil
    }
  }

  /// Runs `body` whenever a connection found a new epoch: every lease of the old one is lost.
  public func onNewEpoch(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.onNewEpoch = body }
  }

  /// The handshake of every connection.
  public func prepare(_ connection: RedisConnection) async throws {
    _ = try await FunctionCode.library.load(on: connection)
    try await adopt { try await connection.call($0) }
  }

  /// Asks Redis for the epoch in force, raising it when Redis is not the one that the last caller knew, or when there
  /// is a doubt that nobody has seen to yet.
  func adopt(
    _ doubt: Doubt? = nil, _ call: ([RedisArgument]) async throws -> RedisValue
  ) async throws {
    // It may take its time, which is none of Redis's clock.
    let stored = try await store.read(keys.prefix)
    let (seen, clock) = state.withLock { ($0.epoch, $0.clock) }
    let expected = clock.map { " \($0.now)" } ?? ""
    let doubted =
      switch doubt {
      case nil: expected
      case .clock(let epoch): "\(epoch)\(expected)"
      case .fence: "\(seen)"
      }
    let sent = ContinuousClock.now
    let reply = try await call(
      [
        "FCALL", "batchd_adopt", 1, .text(keys.prefix), .integer(stored), .text(doubted),
      ] + (self.now.map { [.integer($0())] } ?? []))
    guard let parts = reply.array, parts.count == 3, let epoch = parts[0].integer,
      let now = parts[1].integer, let jumped = parts[2].integer
    else { throw QueueError.unreadable("batchd_adopt", reply) }
    // It jumped, and nobody has seen to that.
    if doubt == nil, jumped <= seen, let clock, !clock.agrees(with: now, sent: sent) {
      return try await adopt(.clock(in: epoch), call)
    }
    if epoch != seen { try await store.raise(epoch, keys.prefix) }
    let changed: (@Sendable () -> Void)? = state.withLock { state in
      // Another adoption was answered meanwhile.
      guard sent >= state.adopted else { return nil }
      if self.now == nil { state.clock = RedisClock(redisMilliseconds: now, sent: sent) }
      guard state.epoch != epoch else { return nil }
      state.epoch = epoch
      state.adopted = .now
      return state.onNewEpoch
    }
    changed?()
  }

  /// When the epoch in force was adopted here. What Redis's clock did before, this process does not know: a jump may have
  /// begun the epoch.
  public var adopted: ContinuousClock.Instant { state.withLock { $0.adopted } }

  /// What Redis's clock shows `milliseconds` after that, in Unix milliseconds; nil where a test owns it.
  func redisMilliseconds(afterAdoption milliseconds: Int) -> Int? {
    state.withLock { $0.clock?.milliseconds(at: $0.adopted + .milliseconds(milliseconds)) }
  }

  /// The greatest fence that this process was given.
  var fence: Fence { state.withLock { $0.fence } }

  func note(_ fences: [Fence]) {
    state.withLock { $0.fence = max($0.fence, fences.max() ?? $0.fence) }
  }

  /// Notes what Redis's clock showed in the reply to a call sent at `sent`: it may run a little faster or slower.
  func note(redisMilliseconds: Int, sent: ContinuousClock.Instant) {
    state.withLock { state in
      // What was read before the adoption may have been read before the jump that led to it; what took long, by waiting
      // for Redis too, tells too little.
      guard sent >= state.adopted, .now - sent < .seconds(1) else { return }
      state.clock = RedisClock(redisMilliseconds: redisMilliseconds, sent: sent)
    }
  }

  /// Redis's clock as this host's monotonic clock carries it on; nil before the first adoption.
  public var clock: RedisClock? { state.withLock { $0.clock } }
}
