internal import Pipeline
internal import Redis

/// The fleet's metrics, from one place.
extension Control {
  private enum Bound {
    static let series = 2_000
    static let gates = 1_000
    /// Ids that may be stale in front of the oldest batch of a list.
    static let oldest = 4
  }

  /// What Prometheus is told while Redis cannot be asked.
  public static func metricsWithoutRedis() -> [MetricFamily] { [up(0)] }

  /// Everything that is measured: of the queue as Redis has it, and of each worker that is alive as it published it with
  /// its last beat. Costs Redis what a snapshot costs.
  public func metrics() async throws -> [MetricFamily] {
    let snapshot = try await snapshot()
    let families = [Self.up(1)] + Self.counts(snapshot) + Self.totals(snapshot.stats)
    let queues = try await queues(snapshot)
    let own =
      families + queues + Self.gates(snapshot) + Self.workers(snapshot)
      + Self.memory(try await info())
    return own + Self.published(snapshot, besides: Set(own.map(\.name)))
  }

  private static func up(_ value: Int) -> MetricFamily {
    one("batchd_up", "Whether Redis could be asked.", value)
  }

  private static func one(
    _ name: String, _ help: String, _ value: Int, _ kind: MetricFamily.Kind = .gauge
  ) -> MetricFamily {
    MetricFamily(name, help, kind, [MetricSeries(name, [:], .integer(value))])
  }

  private static func memory(_ info: [String: String]) -> [MetricFamily] {
    [
      one(
        "batchd_redis_memory_bytes", "Memory that Redis uses.", info.count("used_memory")),
      one(
        "batchd_redis_memory_limit_bytes", "Redis's maxmemory; 0 is none.", info.count("maxmemory")),
    ]
  }

  /// What is there at this moment.
  private static func counts(_ snapshot: Snapshot) -> [MetricFamily] {
    let waiting = snapshot.lanes.reduce(0) { $0 + $1.waiting }
    var families = [
      one("batchd_epoch", "Rises when Redis may have forgotten something.", snapshot.epoch ?? 0),
      one("batchd_enqueued_entries", "Entries that no worker has looked at.", snapshot.enqueued),
      one("batchd_delayed_batches", "Batches that wait for a moment.", snapshot.delayed),
      one("batchd_leases", "Stage jobs that run.", snapshot.leases),
      one("batchd_lanes_held", "Accounts of which a batch is under way.", snapshot.lanesHeld),
      one("batchd_failed_batches", "Failed batches that are kept.", snapshot.failed),
      one("batchd_rejected_entries", "Rejected entries that are kept.", snapshot.rejected),
      one(
        "batchd_outbox_entries", "Ended runs, or groups of them, that the store has not.",
        snapshot.outbox),
      one(
        "batchd_workers", "Workers that were heard within 30 s.",
        snapshot.workers.count { $0.state == .alive }),
    ]
    // A number that is too small would be taken for good news.
    if !snapshot.isPartial {
      families.append(
        one(
          "batchd_lane_waiting_batches", "Batches that wait for another of their account.", waiting)
      )
    }
    families.append(
      one(
        "batchd_partial", "1: too many lanes or keys to look at; what is not known is left out.",
        snapshot.isPartial ? 1 : 0))
    let paused = "batchd_paused"
    families.append(
      MetricFamily(
        paused, "What is paused.", .gauge,
        snapshot.paused.map { MetricSeries(paused, ["what": $0], .integer(1)) }))
    return families
  }

  /// What was counted since the prefix began, and outlives every worker.
  private static func totals(_ stats: [String: Int]) -> [MetricFamily] {
    let ended = "batchd_batches_ended_total"
    let others = [
      ("admitted", "batches_admitted", "Batches admitted."),
      ("duplicates", "duplicates", "Entries whose id was known."),
      ("rejected", "entries_rejected", "Entries rejected."),
      ("retries", "retries", "Attempts that failed and were to be tried again."),
      ("leases_lost", "leases_lost", "Leases that ended because their worker died."),
      ("broken", "broken_records", "Broken records that were met."),
    ]
    return [
      MetricFamily(
        ended, "Runs of batches that ended.", .counter,
        EndedBatch.statuses.map { MetricSeries(ended, ["status": $0], .integer(stats[$0] ?? 0)) })
    ]
      + others.map { field, name, help in
        one("batchd_\(name)_total", help, stats[field] ?? 0, .counter)
      }
  }

  private func queues(_ snapshot: Snapshot) async throws -> [MetricFamily] {
    let ages = try await ages(snapshot)
    func family(
      _ name: String, _ help: String, _ value: (Snapshot.Waiting) -> MetricSeries.Value?
    ) -> MetricFamily {
      MetricFamily(
        name, help, .gauge,
        snapshot.queues.compactMap { queue in
          value(queue).map {
            MetricSeries(name, ["pipeline": queue.pipeline, "stage": queue.stage], $0)
          }
        })
    }
    return [
      family("batchd_queue_batches", "Batches that wait for a slot.") { .integer($0.waiting) },
      family("batchd_queue_suspects", "Batches whose worker died: they run one at a time.") {
        .integer($0.suspects)
      },
      family("batchd_queue_oldest_seconds", "For how long the next batch has waited; 0 for none.") {
        .seconds(ages[$0] ?? 0)
      },
    ]
  }

  /// For how many seconds the batch that is next has waited in each list.
  private func ages(_ snapshot: Snapshot) async throws -> [Snapshot.Waiting: Double] {
    let queues = snapshot.queues.filter { $0.waiting > 0 }
    let ends = try await read(
      queues.map { ["LRANGE", .text(keys.queue($0.list)), .integer(-Bound.oldest), -1] })
    let waiting = zip(queues, ends).flatMap { queue, ids in
      ids.texts.reversed().map { (queue: queue, id: $0) }
    }
    let records = try await read(
      waiting.map { ["HMGET", .text(keys.batch($0.id)), "place", "updated_at"] })
    var ages: [Snapshot.Waiting: Double] = [:]
    for ((queue, _), record) in zip(waiting, records) where ages[queue] == nil {
      // A stale id is dropped by the next claim.
      guard let fields = record.array, fields.count == 2, fields[0].text == keys.queue(queue.list),
        let since = fields[1].text.flatMap(Timestamp.init(rfc3339:))
      else { continue }
      ages[queue] = Double(max(0, snapshot.takenAt - Int(since.milliseconds))) / 1_000
    }
    return ages
  }

  private static func gates(_ snapshot: Snapshot) -> [MetricFamily] {
    let name = "batchd_gate_closed_seconds"
    let longest = snapshot.closedGates.sorted { $0.opensAt > $1.opensAt }.prefix(Bound.gates)
    let closed = one(
      "batchd_gates_closed", "Gates that a service closed.", snapshot.closedGates.count)
    return (snapshot.isPartial ? [] : [closed]) + [
      MetricFamily(
        name, "In how long the gate opens.", .gauge,
        longest.map { gate in
          MetricSeries(
            name, ["gate": gate.name], .seconds(Double(gate.opensAt - snapshot.takenAt) / 1_000))
        })
    ]
  }

  private static func workers(_ snapshot: Snapshot) -> [MetricFamily] {
    // What one counted that left counts on for an hour; what it is said to do now would alarm somebody.
    let present = snapshot.workers.filter { [.alive, .silent].contains($0.state) }
    func family(
      _ name: String, _ help: String, _ value: (WorkerStatus) -> MetricSeries.Value
    ) -> MetricFamily {
      MetricFamily(
        name, help, .gauge,
        present.map { MetricSeries(name, ["worker": $0.name], value($0)) })
    }
    return [
      family("batchd_worker_slots", "Stage jobs that the worker can run at once.") {
        .integer($0.slots)
      },
      family("batchd_worker_running", "Stage jobs that the worker runs.") { .integer($0.running) },
      family("batchd_worker_beat_age_seconds", "Since when the worker was not heard.") {
        .seconds(Double(max(0, snapshot.takenAt - $0.beatAt)) / 1_000)
      },
    ]
  }

  /// What the workers measured. A worker of another version may tell of what this one does not know.
  private static func published(
    _ snapshot: Snapshot, besides known: Set<String>
  ) -> [MetricFamily] {
    var families: [String: [MetricSeries]] = [:]
    for worker in snapshot.workers {
      for series in worker.series.prefix(Bound.series) where !known.contains(series.name) {
        families[series.name, default: []].append(
          MetricSeries(
            series.name, series.labels.merging(["worker": worker.name]) { $1 }, series.value))
      }
    }
    return families.sorted { $0.key < $1.key }.map { name, series in
      let kind = series[0].kind
      return MetricFamily(
        name, WorkerMetric(rawValue: name)?.help ?? "Of a worker of another version.", kind,
        series.filter { $0.kind == kind })
    }
  }
}

extension MetricSeries {
  fileprivate var kind: MetricFamily.Kind {
    switch value {
    case .integer: name.hasSuffix("_total") ? .counter : .gauge
    case .seconds: .gauge
    case .histogram: .histogram
    }
  }
}
