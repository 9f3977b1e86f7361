internal import Pipeline
internal import Redis

/// Whether what waits is worked on: workers, the stages that they serve, admission, the way to the results store.
extension Control {
  /// How long nobody must come to the oldest entry before that is worth a word.
  private static let leastUnadmitted = Duration.seconds(5)
  /// How long ended runs may wait to be written to the store: beside other work they wait for seconds.
  private static let mostOutboxMilliseconds = 300_000

  /// What hinders work, each with its remedy; only reads. What is paused is not missed.
  public func checkWork() async throws -> Area {
    let snapshot = try await snapshot()
    let alive = snapshot.workers.filter { $0.state == .alive }
    var area = Area("workers", "\(alive.count) alive, \(snapshot.leases) running")
    guard snapshot.epoch != nil else {
      area.summary = ""
      area.findings = [
        Finding(
          keys.meta, "is not there: no worker ever used the prefix \(keys.prefix)",
          remedy: "start a worker, or name the right --redis and --prefix")
      ]
      return area
    }
    area.findings = silent(snapshot)
    if !alive.isEmpty {
      area.findings += try await unadmitted(snapshot)
      area.findings += unserved(snapshot) + (try await different(alive))
    } else if let finding = nobody(snapshot) {
      area.findings.append(finding)
    } else if snapshot.paused.isEmpty {
      area.summary = "none is alive, nothing waits"
    }
    area.findings += try await outbox(now: snapshot.takenAt)
    area.notes = Self.notes(snapshot, alive)
    return area
  }

  private func silent(_ snapshot: Snapshot) -> [Finding] {
    snapshot.workers.filter { $0.state == .silent }.map { worker in
      Finding(
        keys.worker(worker.name),
        "has not been heard for \((snapshot.takenAt - worker.beatAt) / 1_000) s (host \(worker.host), pid \(worker.pid))",
        remedy:
          "see whether its process lives and reaches Redis; another worker takes over what it held"
      )
    }
  }

  private func nobody(_ snapshot: Snapshot) -> Finding? {
    let waiting = snapshot.queues.filter { !Self.isPaused($0, snapshot) }
      .reduce(0) { $0 + $1.waiting + $1.suspects }
    let batches = waiting + snapshot.enqueued + snapshot.delayed + snapshot.leases
    guard batches > 0, !snapshot.paused.contains("all") else { return nil }
    return Finding(
      keys.workers, "holds no living worker, and \(batches) wait for one",
      remedy: "start one (systemctl start batchd@1, or batchd work); its log says what hinders it")
  }

  private func unserved(_ snapshot: Snapshot) -> [Finding] {
    snapshot.unserved.filter { !Self.isPaused($0, snapshot) }.map { queue in
      Finding(
        keys.queue(queue.list),
        "no living worker serves it, and \(queue.waiting + queue.suspects) wait",
        remedy:
          "start a worker whose configuration has [pipelines.\(queue.pipeline).\(queue.stage)], or cancel them"
      )
    }
  }

  private static func isPaused(_ queue: Snapshot.Waiting, _ snapshot: Snapshot) -> Bool {
    !snapshot.paused.allSatisfy {
      !["all", "pipeline:\(queue.pipeline)", "stage:\(queue.list)"].contains($0)
    }
  }

  /// Workers that were given different stages for one pipeline: the last to start says which ones new batches go through.
  private func different(_ alive: [WorkerStatus]) async throws -> [Finding] {
    let known = try await pipelines().mapValues { $0.map(\.rawValue).joined(separator: ",") }
    return known.sorted { $0.key < $1.key }.compactMap { pipeline, stages in
      let others = alive.compactMap { worker in
        worker.pipelines[pipeline].flatMap { $0 == stages ? nil : "\(worker.name) serves \($0)" }
      }
      guard !others.isEmpty else { return nil }
      let more = others.count > 3 ? " and \(others.count - 3) more differ, too" : ""
      return Finding(
        keys.pipelines, member: pipeline,
        "new batches of \(pipeline) go through \(stages), but "
          + others.prefix(3).joined(separator: ", ") + more,
        remedy: "give all workers the same [pipelines.\(pipeline)] and restart those of the old one"
      )
    }
  }

  /// The oldest entry stays for a moment only, unless nobody can admit it.
  private func unadmitted(_ snapshot: Snapshot) async throws -> [Finding] {
    guard snapshot.enqueued > 0 else { return [] }
    let oldest: [[RedisArgument]] = [
      ["LINDEX", .text(keys.enqueue), -1], ["LLEN", .text(keys.enqueue)],
    ]
    let before = try await read(oldest)
    var after = before
    // On a busy machine a worker may take a second to come to it.
    let deadline = ContinuousClock.now + Self.leastUnadmitted
    while ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(200))
      after = try await read(oldest)
      let isMoving = (after[1].integer ?? 0) < before[1].integer ?? 0
      guard let entry = before[0].bytes, entry == after[0].bytes, !isMoving else { return [] }
    }
    return [
      Finding(
        keys.enqueue,
        "\(after[1].integer ?? 0) wait to be admitted, and the oldest is not taken up",
        remedy: "see the workers' logs; when Redis is full, give it memory")
    ]
  }

  private func outbox(now: Int) async throws -> [Finding] {
    let replies = try await read([
      ["XRANGE", .text(keys.ended), "-", "+", "COUNT", 1], ["XLEN", .text(keys.ended)],
    ])
    guard let id = replies[0].array?.first?.array?.first?.text,
      let written = id.split(separator: "-").first.flatMap({ Int($0) }),
      now - written > Self.mostOutboxMilliseconds
    else { return [] }
    return [
      Finding(
        keys.ended,
        "\(replies[1].integer ?? 0) ended runs wait to be written to the results store, the oldest for \((now - written) / 60_000) minutes",
        remedy: "see what the workers' logs say of the store; until then they stay in Redis")
    ]
  }

  private static func notes(_ snapshot: Snapshot, _ alive: [WorkerStatus]) -> [String] {
    var notes = snapshot.paused.map { "\($0) is paused; batchd resume \($0) ends it" }
    let versions = Set(alive.map(\.version)).sorted()
    if versions.count > 1 {
      notes.append("workers of \(versions.joined(separator: " and ")) work side by side")
    }
    notes += snapshot.workers.filter { $0.state == .lost }.map {
      "worker \($0.name) on host \($0.host) ended without a word within the last hour; others took over what it held"
    }
    return notes
  }
}
