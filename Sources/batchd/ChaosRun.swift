internal import Foundation
internal import Glibc
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis
internal import Stores
internal import UnixSignals

/// `up --chaos`: enqueues batches, kills workers with -9 under them, and counts every row at the end.
struct ChaosRun: Sendable {
  let stack: Stack
  let simulation: Simulation
  let batches: Int

  private static let operation = "chaos"
  private var keys: Keys { Keys(prefix: stack.configuration.prefix) }

  /// Runs until every batch has ended, or until a signal.
  func run(until signals: UnixSignalsSequence) async throws {
    let connection = try await RedisClient(
      try stack.configuration.redisConfiguration(),
      logger: Logger(label: "up", factory: { _ in SwiftLogNoOpLogHandler() })
    ).connect()
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
    print(
      "\(plan.count) batches of \(items) items over \(Set(plan.map(\.account)).count) accounts; killing workers"
    )
    let kills = try await withThrowingTaskGroup(of: Int?.self) { group in
      group.addTask { try await watch(connection) }
      group.addTask {
        for await _ in signals { break }
        return nil
      }
      let kills = try await group.next() ?? nil
      group.cancelAll()
      return kills
    }
    guard let kills else { return print("\nstopped before the end") }
    try await report(plan, kills: kills, connection)
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

  /// Shows the progress and kills a random worker every second.
  /// - Returns: how many were killed, once the operation is finished.
  private func watch(_ connection: RedisConnection) async throws -> Int {
    var kills = 0
    var lastKill = ContinuousClock.now
    while true {
      let reply = try await connection.call(["HGETALL", .text(keys.progress(Self.operation))])
      let fields = (reply.array ?? []).compactMap(\.text)
      let progress = stride(from: 0, to: fields.count - 1, by: 2).reduce(into: [String: String]()) {
        $0[fields[$1]] = fields[$1 + 1]
      }
      show(progress, kills: kills)
      if progress["finished_at"] != nil { return kills }
      if ContinuousClock.now - lastKill > .seconds(1), progress["processing"] ?? "0" != "0" {
        stack.workers.randomElement()?.send(SIGKILL)
        kills += 1
        lastKill = .now
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  private func show(_ progress: [String: String], kills: Int) {
    let percent = progress["percent"].flatMap { Int($0) } ?? 0
    let bar =
      String(repeating: "█", count: percent / 4) + String(repeating: "░", count: 25 - percent / 4)
    let done = "\(progress["items_done"] ?? "0")/\(progress["items_total"] ?? "0") items"
    let line =
      "\(bar) \(percent)%  \(done)  \(progress["processing"] ?? "0") running  \(progress["retrying"] ?? "0") in backoff  \(kills) killed"
    print(isatty(1) == 1 ? "\r\u{1B}[K\(line)" : line, terminator: isatty(1) == 1 ? "" : "\n")
    fflush(nil)
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
      "\nworkers killed \(kills) · rows \(rows) of \(items) · lost \(items - rows) · double \(ends - plan.count)"
    )
    guard rows == items, ends == plan.count else {
      throw UpError(description: "see the logs in \(stack.folder)")
    }
  }
}
