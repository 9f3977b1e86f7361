internal import Foundation
internal import Redis

/// Whether this Redis keeps what it is told: settings, memory, functions, clock.
extension Control {
  private static let leastVersion = 7
  /// Of the memory that Redis may use.
  private static let mostMemory = 0.8
  private static let mostClockSeconds = 5.0

  /// What Redis says of itself (`INFO`), by field.
  public func info() async throws -> [String: String] {
    Self.fields(ofInfo: try await read([["INFO"]])[0].text ?? "")
  }

  /// The prefixes that the workers of this one serve, in their order; nil when none of this release has run.
  public func servedPrefixes() async throws -> [String]? {
    try await read([["HGET", .text(keys.meta), "prefixes"]])[0].text?
      .split(separator: " ").map(String.init)
  }

  /// The identity of the results store that workers write to; nil when none has said one.
  public func storeIdentity() async throws -> String? {
    try await read([["HGET", .text(keys.store), "identity"]])[0].text
  }

  /// What is wrong with Redis itself: settings, memory, clock.
  /// - Parameter info: of `info()`, a moment ago.
  public static func redisArea(_ info: [String: String]) -> Area {
    let policy = info["maxmemory_policy"].map { ", \($0)" } ?? ""
    let log = info["aof_enabled"] == "1" ? ", append-only file" : ""
    let used = (info["used_memory"].flatMap { Int($0) } ?? 0) >> 20
    return Area(
      "redis", "\(info["redis_version"] ?? "")\(policy)\(log), \(used) MiB used",
      findings: settings(info) + memory(info) + clock(info))
  }

  private static func fields(ofInfo text: String) -> [String: String] {
    var fields: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
    }
    return fields
  }

  private static func settings(_ info: [String: String]) -> [Finding] {
    var findings: [Finding] = []
    func add(_ problem: String, _ remedy: String) {
      findings.append(Finding("redis", problem, remedy: remedy))
    }
    let version = info["redis_version"] ?? ""
    if (version.split(separator: ".").first.flatMap { Int($0) } ?? 0) < leastVersion {
      add("is version \(version)", "use Redis 7.0 or later, or Valkey: batchd needs functions")
    }
    if info["role"] != "master" {
      add("is a replica", "name the primary, or use redis+sentinel://")
    }
    if let policy = info["maxmemory_policy"], policy != "noeviction" {
      add(
        "evicts keys when it is full (maxmemory-policy \(policy)), and batches with them",
        "CONFIG SET maxmemory-policy noeviction, and in redis.conf")
    }
    if info["aof_enabled"] != "1" {
      add(
        "keeps no append-only file: a crash loses all since the last snapshot",
        "CONFIG SET appendonly yes, and in redis.conf")
    } else if info["aof_last_write_status"] != "ok" {
      add("cannot write its append-only file", "see Redis's log; is the disk full?")
    }
    if let status = info["aof_last_bgrewrite_status"], status != "ok" {
      add(
        "could not write its append-only file anew, which grows without end",
        "see Redis's log; is the disk full?")
    }
    if let status = info["rdb_last_bgsave_status"], status != "ok" {
      add("could not write its last snapshot", "see Redis's log; is the disk full?")
    }
    return findings
  }

  private static func memory(_ info: [String: String]) -> [Finding] {
    func bytes(_ field: String) -> Double { info[field].flatMap { Double($0) } ?? 0 }
    let limit = bytes("maxmemory") > 0 ? bytes("maxmemory") : bytes("total_system_memory")
    let used = bytes("used_memory")
    guard limit > 0, used > mostMemory * limit else { return [] }
    return [
      Finding(
        "redis",
        "uses \(Int(used) >> 20) of \(Int(limit) >> 20) MiB: when it is full, new entries wait",
        remedy: "give it more memory (maxmemory), or shorten the retention of ended batches")
    ]
  }

  private static func clock(_ info: [String: String]) -> [Finding] {
    guard let text = info["server_time_usec"], let microseconds = Double(text) else { return [] }
    let difference = microseconds / 1e6 - Date().timeIntervalSince1970
    guard abs(difference) > mostClockSeconds else { return [] }
    return [
      Finding(
        "clock", "Redis's clock is \(Int(difference)) s from this host's",
        remedy: "run a time service on both; batchd goes by Redis's, people read both")
    ]
  }

  /// Whether the function library is there, and of this release; loads nothing.
  public func checkFunctions() async throws -> Area {
    let ours = FunctionCode.revision
    let present: Int?
    do {
      present = try await read([["FCALL", "batchd_revision", 0]])[0].integer
    } catch let error as RedisError where RedisFunctionLibrary.isMissing(error) {
      present = nil
    }
    let found: (problem: String, remedy: String)? =
      switch present {
      case nil: ("are not loaded", "start a worker: it loads them")
      case let present? where present < ours:
        (
          "are of revision \(present), this batchd has \(ours)",
          "restart a worker of this release: it loads them"
        )
      case let present? where present > ours:
        (
          "are of revision \(present), this batchd knows \(ours)",
          "use the batchd of the newer workers here, too"
        )
      default: nil
      }
    return Area(
      "functions", present.map { "revision \($0)" } ?? "",
      findings: try await [found, namesake()].compactMap {
        $0.map { Finding("functions", $0.problem, remedy: $0.remedy) }
      })
  }

  /// The key that functions declare must not exist: while a cluster moves the slot, only that keeps them from starting at
  /// the node which has some of their keys left.
  private func namesake() async throws -> (problem: String, remedy: String)? {
    guard keys.prefix.hasPrefix("{"),
      try await read([["EXISTS", .text(keys.prefix)]])[0].integer == 1
    else { return nil }
    return (
      "could fail half-way while a cluster moves their slot: a key is named as the prefix, \(keys.prefix)",
      "DEL \(keys.prefix)"
    )
  }
}
