internal import Pipeline
internal import Queue

/// The tables of `workers`, and that of `status`.
enum WorkersRendering {
  /// The order of the columns; another counter stands after them.
  private static let counters = ["finished", "failed", "retried", "snoozed", "handed_back", "lost"]

  /// A row for each worker: what matters first, for a terminal may be narrow.
  static func lines(_ workers: [WorkerStatus], now: Int) -> [StyledLine] {
    guard !workers.isEmpty else { return [noWorker] }
    let shown = counters.filter { name in workers.contains { $0.counters[name] != nil } }
    let columns =
      [
        TextTable.Column.left("WORKER"), .left("STATE"), .right("BEAT"), .right("UP"),
        .right("RUNNING"), .right("SLOTS"),
      ] + shown.map { .right($0.replacing("_", with: " ").uppercased()) }
      + [.left("VERSION"), .left("HOST"), .right("PID"), .left("SERVES")]
    return TextTable.lines(
      columns,
      workers.map { worker in
        [
          StyledLine(worker.name), state(worker), StyledLine(beat(worker, now: now)),
          StyledLine(up(worker, now: now)), StyledLine(Wording.count(worker.running)),
          StyledLine(Wording.count(worker.slots)),
        ] + shown.map { counter($0, of: worker) }
          + [
            StyledLine(worker.version), StyledLine(worker.host), StyledLine("\(worker.pid)"),
            StyledLine(serves(worker)),
          ]
      })
  }

  /// One worker, and what it holds.
  static func lines(
    _ worker: WorkerStatus, _ holds: [Control.HeldBatch], now: Int
  ) -> [StyledLine] {
    var facts: [(String, StyledLine)] = [
      ("worker", StyledLine(worker.name, .bold)),
      ("state", state(worker) + StyledLine(", last beat \(beat(worker, now: now))")),
      ("host", StyledLine("\(worker.host), pid \(worker.pid), batchd \(worker.version)")),
      ("up", StyledLine(up(worker, now: now) + (worker.startedAt.map { ", since \($0)" } ?? ""))),
      ("running", StyledLine("\(worker.running) of \(worker.slots) slots")),
    ]
    facts += worker.pipelines.sorted { $0.key < $1.key }.map { pipeline, stages in
      ("serves", StyledLine("\(pipeline): \(stages.replacing(",", with: ", "))"))
    }
    facts += worker.counters.sorted { $0.key < $1.key }.map { name, value in
      (name.replacing("_", with: " "), StyledLine(Wording.count(value)))
    }
    let width = (facts.map(\.0.count).max() ?? 0) + 2
    let lines = facts.map { StyledLine(Columns.padded($0.0, width), .dim) + $0.1 }
    guard !holds.isEmpty else { return lines }
    return lines + [""] + held(holds, now: now)
  }

  private static func held(_ holds: [Control.HeldBatch], now: Int) -> [StyledLine] {
    TextTable.lines(
      [
        .left("HOLDS"), .left("PIPELINE"), .left("STAGE"), .left("ACCOUNT"), .right("ATTEMPT"),
        .right("ITEMS"), .right("LEASE ENDS IN"),
      ],
      holds.map { held in
        let batch = held.batch
        return [
          StyledLine(batch.id), StyledLine(batch.pipeline ?? "-"), StyledLine(batch.stage ?? "-"),
          StyledLine(batch.account ?? "-"), StyledLine("\(batch.attempt)"),
          StyledLine("\(batch.itemsDone + batch.itemsFailed)/\(batch.itemsTotal)"),
          StyledLine(Wording.duration(milliseconds: held.expiresAt - now)),
        ]
      })
  }

  static let noWorker = StyledLine(
    "NO WORKER is running: nothing moves until one starts (batchd work)", .red)

  static func state(_ worker: WorkerStatus) -> StyledLine {
    let style: StyledLine.Style =
      switch worker.state {
      case .alive: .green
      case .silent, .lost: .red
      case .stopped: .dim
      }
    return StyledLine(worker.state.rawValue, style)
  }

  static func beat(_ worker: WorkerStatus, now: Int) -> String {
    worker.beatAt == 0 ? "-" : "\(Wording.duration(milliseconds: now - worker.beatAt)) ago"
  }

  /// How long it has worked; of one that left, how long it did.
  static func up(_ worker: WorkerStatus, now: Int) -> String {
    let isHere = worker.state == .alive || worker.state == .silent
    let end = Timestamp(milliseconds: Int64(isHere ? now : worker.beatAt))
    return Wording.milliseconds(from: worker.startedAt, to: "\(end)")
      .map { Wording.duration(milliseconds: $0) } ?? "-"
  }

  static func counter(_ name: String, of worker: WorkerStatus) -> StyledLine {
    let count = worker.counters[name] ?? 0
    let isBad = count > 0 && (name == "failed" || name == "lost")
    return StyledLine(Wording.count(count), isBad ? .yellow : .plain)
  }

  private static func serves(_ worker: WorkerStatus) -> String {
    worker.pipelines.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }
      .joined(separator: " ")
  }
}
