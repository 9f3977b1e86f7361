internal import Foundation
internal import Glibc
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import Stores
internal import Synchronization
internal import UnixSignals

/// `up --chaos`: enqueues batches, kills workers with -9 under them, and counts every row at the end.
struct ChaosRun: Sendable {
  let stack: Stack
  let simulation: Simulation
  let batches: Int

  private static let operation = "chaos"
  private var keys: Keys { Keys(prefix: stack.configuration.prefixes.names[0]) }

  /// Runs until every batch has ended, or until a signal.
  func run(until signals: UnixSignalsSequence) async throws {
    let connection = try await connect()
    let plan = plannedBatches()
    for (index, batch) in plan.enumerated() {
      let envelope: JSON = .object([
        "id": .string("chaos-\(index + 1)"), "operation": .string(Self.operation),
        "account": .string(batch.account), "items": .array(batch.items.map { .string($0) }),
        "size": .integer(Int64(plan.count)),
      ])
      _ = try await connection.call(["LPUSH", .text(keys.enqueue), .bytes(envelope.bytes)])
    }
    let items = plan.map(\.items.count).reduce(0, +)
    try await Terminal.write(
      "\(plan.count) batches of \(items) items over \(Set(plan.map(\.account)).count) accounts; killing workers\n"
    )
    let kills = Kills()
    let isOver = try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        try await watch(kills)
        return true
      }
      group.addTask {
        try await kill(kills, Control(connection, prefix: stack.configuration.prefixes.names[0]))
        return false
      }
      group.addTask {
        for await _ in signals { break }
        return false
      }
      let isOver = try await group.next() ?? false
      group.cancelAll()
      return isOver
    }
    guard isOver else { return print("stopped before the end") }
    try await report(plan, kills: kills.count, connection)
  }

  private func connect() async throws -> RedisConnection {
    try await RedisClient(
      stack.configuration.redis.patientClient(),
      logger: Logger(label: "up", factory: { _ in SwiftLogNoOpLogHandler() })
    ).connect()
  }

  private struct Planned {
    let account: String
    let items: [String]
  }

  /// Ten jobs of one account each, the accounts in turn.
  private func plannedBatches() -> [Planned] {
    let byAccount = Dictionary(grouping: simulation.jobs, by: \.account).mapValues {
      $0.map(\.uuid)
    }
    let accounts = byAccount.keys.sorted()
    return (0..<batches).compactMap { index in
      let account = accounts[index % accounts.count]
      let from = index / accounts.count * 10
      let items = (byAccount[account] ?? []).dropFirst(from).prefix(10)
      return items.isEmpty ? nil : Planned(account: account, items: Array(items))
    }
  }

  /// The workers that were killed, and what is to be said of them.
  private final class Kills: Sendable {
    private let state = Mutex((count: 0, notes: [StyledLine]()))

    var count: Int { state.withLock { $0.count } }

    func note(_ worker: String) {
      state.withLock { state in
        state.count += 1
        state.notes.append(StyledLine("\(worker) killed with -9 (\(state.count) so far)", .yellow))
      }
    }

    func takeNotes() -> [StyledLine] {
      state.withLock { state in
        defer { state.notes = [] }
        return state.notes
      }
    }
  }

  /// Shows the operation as `watch` does, to its end.
  private func watch(_ kills: Kills) async throws {
    let control = Control(try await connect(), prefix: stack.configuration.prefixes.names[0])
    try await until("the first batch is admitted") {
      try await control.progress(of: [Self.operation])[0] != nil
    }
    let watcher = Watcher([Self.operation], gates: stack.configuration.gates) {
      Control(try await connect(), prefix: stack.configuration.prefixes.names[0])
    }
    var watchers = [watcher]
    _ = try await WatchCommand.show(
      &watchers, Terminal().isLive ? .live : .plain, notes: kills.takeNotes)
  }

  /// Kills a random worker every second while batches run.
  private func kill(_ kills: Kills, _ control: Control) async throws {
    while true {
      try await Task.sleep(for: .seconds(1))
      guard let progress = try await control.progress(of: [Self.operation])[0],
        progress.processing > 0, let worker = stack.workers.randomElement()
      else { continue }
      worker.send(SIGKILL)
      kills.note(worker.name)
    }
  }

  /// Compares the store with what was enqueued.
  private func report(_ plan: [Planned], kills: Int, _ connection: RedisConnection) async throws {
    let store = try await stack.configuration.store.open()
    var rows = 0
    for batch in plan {
      rows += try await store.contentHashes(account: batch.account, uuids: batch.items).count
    }
    let items = plan.map(\.items.count).reduce(0, +)
    let stats = try await connection.call(
      ["HMGET", .text(keys.stats), "completed", "completed_with_errors", "failed", "cancelled"])
    let ends = (stats.array ?? []).compactMap(\.integer).reduce(0, +)
    print(
      "workers killed \(kills) · rows \(rows) of \(items) · lost \(items - rows) · double \(ends - plan.count)"
    )
    guard rows == items, ends == plan.count else {
      throw UpError(description: "see the logs in \(stack.folder)")
    }
  }
}
