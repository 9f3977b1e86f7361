internal import Pipeline
internal import Redis

/// One `batchd:worker:NAME`: who a worker is, and how it fares.
public struct WorkerStatus: Sendable, Hashable, Encodable {
  public enum State: String, Sendable, Encodable {
    case alive
    /// Not heard for half a minute. The others take its work over and count it as lost.
    case silent
    /// It ended in order, within the last hour.
    case stopped
    /// It ended without a word, within the last hour.
    case lost
  }

  public var name: String
  public var state: State
  public var host: String
  public var pid: Int
  public var version: String
  public var slots: Int
  public var running: Int
  /// When it was last heard, in Unix milliseconds by Redis's clock.
  public var beatAt: Int
  /// RFC 3339.
  public var startedAt: String?
  /// The lists that it serves: `PIPELINE:STAGE`.
  public var serves: [String]
  /// What it counted since its start: `finished`, `failed`, `retried`, …
  public var counters: [String: Int]
  /// What it measured since its start. For `Control.metrics`; no part of the JSON.
  public var series: [MetricSeries] = []

  private enum CodingKeys: CodingKey {
    case name, state, host, pid, version, slots, running, beatAt, startedAt, serves, counters
  }

  /// The pipelines that it serves with their stages in order, such as `setup,extraction`.
  public var pipelines: [String: String] {
    let lists = serves.map { $0.split(separator: ":", maxSplits: 1).map(String.init) }
    return Dictionary(grouping: lists.filter { $0.count == 2 }, by: { $0[0] })
      .mapValues { $0.map { $0[1] }.joined(separator: ",") }
  }
}

extension Control {
  private enum Bound {
    static let workers = 1_000
    static let leases = 10_000
    static let held = 100
    /// As tick has it; the beats of a worker are far closer.
    static let silenceMilliseconds = 30_000
  }

  /// What is no counter among the fields.
  private static let described: Set = [
    "host", "pid", "boot", "version", "slots", "running", "pipelines", "started_at", "beat_at",
  ]

  /// The workers by name: those that live, then those that left within the last hour.
  /// - Returns: and the time of Redis, in Unix milliseconds.
  public func workers() async throws -> (workers: [WorkerStatus], now: Int) {
    let now = Self.milliseconds(try await read([["TIME"]])[0])
    return (try await workers(now: now), now)
  }

  func workers(now: Int) async throws -> [WorkerStatus] {
    let replies = try await read(
      [keys.workers, keys.departed].map {
        ["ZRANGE", .text($0), 0, .integer(Bound.workers - 1), "REV", "WITHSCORES"]
      })
    let names = replies.map { reply in
      reply.fields.compactMapValues(\.scoreOfRedis).sorted { $0.key < $1.key }
    }
    let all = names[0] + names[1]
    let hashes = try await read(all.map { ["HGETALL", .text(keys.worker($0.key))] })
    return all.enumerated().compactMap { at, entry in
      let fields = hashes[at].fields
      guard at < names[0].count else {
        return fields.isEmpty ? nil : Self.departed(entry.key, at: entry.value, fields)
      }
      return Self.worker(entry.key, fields, beatAt: entry.value, now: now)
    }
  }

  /// Whoever stops in order does so soon after a beat; the others are found out by their silence.
  static func departed(
    _ name: String, at moment: Int, _ fields: [String: String]
  ) -> WorkerStatus {
    let beat = fields.text("beat_at").flatMap(Timestamp.init(rfc3339:)).map {
      Int($0.milliseconds)
    }
    let isLost = beat.map { moment - $0 >= Bound.silenceMilliseconds } ?? false
    return worker(name, fields, beatAt: beat ?? 0, isLost ? .lost : .stopped)
  }

  /// One that has not left.
  static func worker(
    _ name: String, _ fields: [String: String], beatAt: Int, now: Int
  ) -> WorkerStatus {
    worker(
      name, fields, beatAt: beatAt, now - beatAt > Bound.silenceMilliseconds ? .silent : .alive)
  }

  private static func worker(
    _ name: String, _ fields: [String: String], beatAt: Int, _ state: WorkerStatus.State
  ) -> WorkerStatus {
    WorkerStatus(
      name: name, state: state, host: fields["host"] ?? "", pid: fields.count("pid"),
      version: fields["version"] ?? "", slots: fields.count("slots"),
      running: fields.count("running"), beatAt: beatAt, startedAt: fields.text("started_at"),
      serves: (fields["pipelines"] ?? "").split(separator: " ").map(String.init),
      counters: fields.filter { !described.contains($0.key) && !$0.key.contains("{") }
        .compactMapValues(\.countOfRedis),
      series: fields.sorted { $0.key < $1.key }
        .compactMap { MetricSeries(field: $0.key, value: $0.value) })
  }

  /// A batch that a worker holds.
  public struct HeldBatch: Sendable, Encodable {
    public let batch: BatchState
    /// When its lease ends unless it is renewed, in Unix milliseconds by Redis's clock.
    public let expiresAt: Int
  }

  /// The batches that a worker holds, those whose lease ends first: up to 100, among the first 10,000 leases.
  public func held(by worker: String) async throws -> [HeldBatch] {
    let flat = try await read([
      ["ZRANGE", .text(keys.leases), 0, .integer(Bound.leases - 1), "WITHSCORES"]
    ])[0].texts
    let leases = stride(from: 0, to: flat.count - 1, by: 2).map { (flat[$0], flat[$0 + 1]) }
    let holders = try await read(leases.map { ["HGET", .text(keys.batch($0.0)), "worker"] })
    let own = zip(leases, holders).filter { $0.1.text == worker }.prefix(Bound.held).map(\.0)
    return zip(own, try await batches(own.map(\.0))).compactMap { lease, batch in
      batch.map { HeldBatch(batch: $0, expiresAt: lease.1.scoreOfRedis ?? 0) }
    }
  }
}
