internal import Pipeline
internal import Queue

/// The page of `status`: what is wrong stands in color, what is absent costs no line.
enum StatusRendering {
  private enum Bound {
    static let lanes = 5
    static let workers = 8
    static let gates = 5
    static let unserved = 5
  }

  static func lines(_ snapshot: Snapshot, address: String, prefix: String) -> [StyledLine] {
    let sections = [
      [
        StyledLine(prefix, .bold)
          + StyledLine(
            "  \(address)  \(Timestamp(milliseconds: Int64(snapshot.takenAt)))"
              + (snapshot.epoch.map { "  epoch \($0)" } ?? ""), .dim)
      ],
      facts(snapshot), queues(snapshot) + unserved(snapshot), accounts(snapshot),
      workers(snapshot), gates(snapshot), failures(snapshot),
    ]
    return Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
  }

  private static func facts(_ snapshot: Snapshot) -> [StyledLine] {
    let now = snapshot.takenAt
    func left(_ moment: Int?) -> String {
      moment.map { ", the next in \(Wording.duration(milliseconds: $0 - now))" } ?? ""
    }
    let waitingInLanes = snapshot.lanes.reduce(0) { $0 + $1.waiting }
    var facts: [(String, StyledLine)] = []
    if !snapshot.paused.isEmpty {
      facts.append(("PAUSED", StyledLine(snapshot.paused.joined(separator: ", "), .yellow)))
    }
    facts += [
      ("enqueued", "\(Wording.count(snapshot.enqueued)) to be admitted"),
      ("running", StyledLine(Wording.count(snapshot.leases, "lease", "leases"))),
      ("delayed", StyledLine(Wording.count(snapshot.delayed) + left(snapshot.nextDueAt))),
      (
        "lanes",
        StyledLine(
          "\(Wording.count(snapshot.lanesHeld)) busy, \(Wording.count(waitingInLanes)) waiting")
      ),
      ("failed", counted(snapshot.failed, .red)),
      (
        "rejected",
        counted(snapshot.rejected, .yellow)
          + StyledLine(snapshot.lastRejected.map { ", the newest: \($0)" } ?? "")
      ),
    ]
    if snapshot.outbox > 0 {
      facts.append(("outbox", "\(Wording.count(snapshot.outbox)) to be written to the store"))
    }
    if snapshot.isPartial {
      facts.append(("partial", StyledLine("too many keys to look at all lanes or gates", .yellow)))
    }
    let stats = snapshot.stats.sorted { $0.key < $1.key }.map { name, value in
      "\(name.replacing("_", with: " ")) \(Wording.count(value))"
    }
    if !stats.isEmpty { facts.append(("so far", StyledLine(stats.joined(separator: ", "), .dim))) }
    return facts.map { StyledLine(Columns.padded($0.0, 10), .dim) + $0.1 }
  }

  private static func counted(_ count: Int, _ style: StyledLine.Style) -> StyledLine {
    StyledLine(Wording.count(count), count > 0 ? style : .plain)
  }

  /// A row for each pipeline, a column for each stage: where a jam shows as a large number.
  private static func queues(_ snapshot: Snapshot) -> [StyledLine] {
    let pipelines = Dictionary(grouping: snapshot.queues, by: \.pipeline).sorted { $0.key < $1.key }
    guard !pipelines.isEmpty else { return [] }
    let columns =
      [TextTable.Column.left("WAITING")] + Stage.allCases.map { .right($0.rawValue.uppercased()) }
    func cells(
      _ first: StyledLine, _ queues: [Snapshot.Waiting], _ count: KeyPath<Snapshot.Waiting, Int>,
      _ style: StyledLine.Style
    ) -> [StyledLine] {
      [first]
        + Stage.allCases.map { stage in
          guard let queue = queues.first(where: { $0.stage == stage.rawValue }) else { return "-" }
          let value = queue[keyPath: count]
          return StyledLine(Wording.count(value), value > 0 ? style : .dim)
        }
    }
    return TextTable.lines(
      columns,
      pipelines.flatMap { name, queues in
        let suspects = queues.contains { $0.suspects > 0 }
        return [cells(StyledLine(name), queues, \.waiting, .bold)]
          + (suspects
            ? [cells(StyledLine("  suspects", .yellow), queues, \.suspects, .yellow)] : [])
      })
  }

  /// What waits in vain, where no number shows it.
  private static func unserved(_ snapshot: Snapshot) -> [StyledLine] {
    // Without any worker that is said once.
    guard snapshot.workers.contains(where: { $0.state == .alive }) else { return [] }
    return snapshot.unserved.prefix(Bound.unserved).map { queue in
      let count = Wording.count(queue.waiting + queue.suspects)
      return StyledLine(
        "NOBODY SERVES \(queue.list): \(count) wait for a worker that has it (batchd workers)", .red
      )
    }
  }

  /// The busy lanes: whose account, who holds it, where that one is and what it waits for.
  private static func accounts(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.lanes.isEmpty else { return [] }
    let isClosed = snapshot.lanes.prefix(Bound.lanes).contains { gate($0, snapshot) != nil }
    let rows = snapshot.lanes.prefix(Bound.lanes).map { lane -> [StyledLine] in
      [
        StyledLine(lane.name), StyledLine(lane.holder), StyledLine(lane.stage ?? "-"),
        place(lane), StyledLine(Wording.count(lane.waiting)),
      ] + (isClosed ? [gate(lane, snapshot) ?? ""] : [])
    }
    let columns: [TextTable.Column] =
      [
        .left("ACCOUNT"), .left("BATCH"), .left("STAGE"), .left("IS"), .right("BEHIND IT"),
      ] + (isClosed ? [.left("GATE")] : [])
    return TextTable.lines(columns, Array(rows)) + more(snapshot.lanes.count - rows.count)
  }

  private static func place(_ lane: Snapshot.Lane) -> StyledLine {
    let kind = lane.place?.split(separator: ":").dropFirst().first ?? ""
    return switch kind {
    case "leases": StyledLine("running", .green)
    case "delayed": StyledLine("delayed", .yellow)
    case "suspects": StyledLine("suspect", .yellow)
    case "": StyledLine("gone", .red)
    default: "waiting"
    }
  }

  /// The gate of the lane's account, when it is closed: its name ends with the account's.
  private static func gate(_ lane: Snapshot.Lane, _ snapshot: Snapshot) -> StyledLine? {
    let gate = snapshot.closedGates.first { $0.name.hasSuffix(":\(lane.account)") }
    guard let gate else { return nil }
    let left = Wording.duration(milliseconds: gate.opensAt - snapshot.takenAt)
    return StyledLine("closed for \(left)\(gate.reason.map { ": \($0)" } ?? "")", .yellow)
  }

  private static func workers(_ snapshot: Snapshot) -> [StyledLine] {
    guard snapshot.workers.contains(where: { $0.state == .alive }) else {
      return [WorkersRendering.noWorker] + (snapshot.workers.isEmpty ? [] : table(snapshot))
    }
    return table(snapshot)
  }

  private static func table(_ snapshot: Snapshot) -> [StyledLine] {
    let now = snapshot.takenAt
    // Who is in trouble first, and then who is busy.
    let workers = snapshot.workers.sorted {
      ($0.state == .alive ? 1 : 0, -$0.running, $0.name)
        < ($1.state == .alive ? 1 : 0, -$1.running, $1.name)
    }
    let rows = workers.prefix(Bound.workers).map { worker in
      [
        StyledLine(worker.name), WorkersRendering.state(worker),
        StyledLine(Wording.count(worker.running)), StyledLine(Wording.count(worker.slots)),
        StyledLine(WorkersRendering.beat(worker, now: now)),
        StyledLine(WorkersRendering.up(worker, now: now)),
        WorkersRendering.counter("finished", of: worker),
        WorkersRendering.counter("failed", of: worker), StyledLine(worker.version),
        StyledLine(worker.host),
      ]
    }
    let columns: [TextTable.Column] = [
      .left("WORKER"), .left("STATE"), .right("RUNNING"), .right("SLOTS"), .right("BEAT"),
      .right("UP"), .right("DONE"), .right("FAILED"), .left("VERSION"), .left("HOST"),
    ]
    return TextTable.lines(columns, Array(rows)) + more(workers.count - rows.count)
  }

  private static func gates(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.closedGates.isEmpty else { return [] }
    let gates = snapshot.closedGates.prefix(Bound.gates)
    return TextTable.lines(
      [.left("GATE CLOSED"), .right("OPENS IN"), .left("WHY")],
      gates.map { gate in
        [
          StyledLine(gate.name, .yellow),
          StyledLine(Wording.duration(milliseconds: gate.opensAt - snapshot.takenAt)),
          StyledLine(gate.reason ?? "many wait for it"),
        ]
      }) + more(snapshot.closedGates.count - gates.count)
  }

  /// Says how many rows were left out, so that the page stays one screen; `--json` has all.
  private static func more(_ count: Int) -> [StyledLine] {
    count > 0 ? [StyledLine("… \(Wording.count(count)) more", .dim)] : []
  }

  private static func failures(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.lastFailed.isEmpty else { return [] }
    let now = "\(Timestamp(milliseconds: Int64(snapshot.takenAt)))"
    return TextTable.lines(
      [.left("FAILED"), .right("WHEN"), .left("STAGE"), .left("ERROR (batchd explain ID)")],
      snapshot.lastFailed.map { batch in
        let age = Wording.milliseconds(from: batch.finishedAt, to: now)
        return [
          StyledLine(batch.id, .red),
          StyledLine(age.map { "\(Wording.duration(milliseconds: $0)) ago" } ?? "-"),
          StyledLine(batch.stage ?? "-"), StyledLine(batch.error ?? "-"),
        ]
      })
  }
}
