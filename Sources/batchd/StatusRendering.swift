internal import Pipeline
internal import Queue

/// The page of `status`: what is wrong stands in color, what is absent costs no line.
enum StatusRendering {
  private enum Bound {
    static let lanes = 5
    /// Beats come every 10 s; three missed are a reason to look.
    static let beatMilliseconds = 30_000
  }

  static func lines(_ snapshot: Snapshot, address: String, prefix: String) -> [StyledLine] {
    let sections = [
      [
        StyledLine(prefix, .bold)
          + StyledLine(
            "  \(address)  \(Timestamp(milliseconds: Int64(snapshot.takenAt)))"
              + (snapshot.epoch.map { "  epoch \($0)" } ?? ""), .dim)
      ],
      facts(snapshot), queues(snapshot), workers(snapshot), gates(snapshot), failures(snapshot),
    ]
    return Array(sections.filter { !$0.isEmpty }.joined(separator: [""]))
  }

  private static func facts(_ snapshot: Snapshot) -> [StyledLine] {
    let now = snapshot.takenAt
    func left(_ moment: Int?) -> String {
      moment.map { ", the next in \(Wording.duration(milliseconds: $0 - now))" } ?? ""
    }
    let waitingInLanes = snapshot.lanes.reduce(0) { $0 + $1.waiting }
    let longest = snapshot.lanes.prefix(Bound.lanes).map {
      "\($0.name) \(Wording.count($0.waiting))"
    }
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
          "\(Wording.count(snapshot.lanesHeld)) busy, \(Wording.count(waitingInLanes)) waiting"
            + (longest.isEmpty ? "" : ": " + longest.joined(separator: ", ")))
      ),
      ("failed", counted(snapshot.failed, .red)), ("rejected", counted(snapshot.rejected, .yellow)),
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
    return facts.map { StyledLine(WatchRendering.padded($0.0, 10), .dim) + $0.1 }
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

  private static func workers(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.workers.isEmpty else {
      return [
        StyledLine("NO WORKER is running: nothing moves until one starts (batchd work)", .red)
      ]
    }
    let columns: [TextTable.Column] = [
      .left("WORKER"), .left("HOST"), .right("PID"), .right("RUNNING"), .right("SLOTS"),
      .right("BEAT"), .right("UP"), .right("DONE"), .right("FAILED"), .left("VERSION"),
    ]
    let now = "\(Timestamp(milliseconds: Int64(snapshot.takenAt)))"
    let rows = snapshot.workers.map { worker -> [StyledLine] in
      let age = snapshot.takenAt - worker.beatAt
      let up = Wording.milliseconds(from: worker.startedAt, to: now)
      return [
        StyledLine(worker.name), StyledLine(worker.host), StyledLine("\(worker.pid)"),
        StyledLine(Wording.count(worker.running)), StyledLine(Wording.count(worker.slots)),
        StyledLine(
          "\(Wording.duration(milliseconds: age)) ago",
          age > Bound.beatMilliseconds ? .red : .plain),
        StyledLine(up.map { Wording.duration(milliseconds: $0) } ?? "-"),
        StyledLine(Wording.count(worker.counters["finished"] ?? 0)),
        counted(worker.counters["failed"] ?? 0, .yellow), StyledLine(worker.version),
      ]
    }
    return TextTable.lines(columns, rows)
  }

  private static func gates(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.closedGates.isEmpty else { return [] }
    return TextTable.lines(
      [.left("GATE CLOSED"), .right("OPENS IN"), .left("WHY")],
      snapshot.closedGates.map { gate in
        [
          StyledLine(gate.name, .yellow),
          StyledLine(Wording.duration(milliseconds: gate.opensAt - snapshot.takenAt)),
          StyledLine(gate.reason ?? "many wait for it"),
        ]
      })
  }

  private static func failures(_ snapshot: Snapshot) -> [StyledLine] {
    guard !snapshot.lastFailed.isEmpty else { return [] }
    let now = "\(Timestamp(milliseconds: Int64(snapshot.takenAt)))"
    return TextTable.lines(
      [.left("FAILED"), .right("WHEN"), .left("STAGE"), .left("ERROR (batchd retry ID)")],
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
