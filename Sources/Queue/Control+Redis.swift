internal import Foundation
internal import Redis

/// Whether this Redis keeps what it is told: settings, memory, functions, clock.
extension Control {
  private static let leastVersion = 7
  /// Of the memory that Redis may use.
  private static let mostMemory = 0.8
  private static let mostClockSeconds = 5.0

  /// What is wrong with Redis itself, each with its remedy; only reads.
  /// - Parameter store: the identity of the results store that workers here are configured with; nil when unknown.
  public func checkRedis(store: String?) async throws -> [Finding] {
    let started = Date()
    let replies = try await read([
      ["INFO"], ["TIME"], ["HGET", .text(keys.store), "identity"],
    ])
    let info = Self.fields(ofInfo: replies[0].text ?? "")
    var findings = Self.settings(info) + Self.memory(info)
    findings += try await functions()
    let time = replies[1].texts.compactMap(Double.init)
    if time.count == 2 {
      let difference = time[0] + time[1] / 1e6 - started.timeIntervalSince1970
      if abs(difference) > Self.mostClockSeconds {
        findings.append(
          Finding(
            "clock", "Redis's clock is \(Int(difference)) s from this host's",
            remedy: "run a time service on both; batchd goes by Redis's, people read both"))
      }
    }
    if let store, let known = replies[2].text, known != store {
      findings.append(
        Finding(
          "store", "results go to store \(known), the configuration names store \(store)",
          remedy:
            "configure the same store everywhere, or HDEL \(keys.store) identity to move on purpose"
        ))
    }
    return findings
  }

  private static func fields(ofInfo text: String) -> [Substring: Substring] {
    var fields: [Substring: Substring] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[line[..<colon]] = line[line.index(after: colon)...]
    }
    return fields
  }

  private static func settings(_ info: [Substring: Substring]) -> [Finding] {
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
    if let status = info["rdb_last_bgsave_status"], status != "ok" {
      add("could not write its last snapshot", "see Redis's log; is the disk full?")
    }
    return findings
  }

  private static func memory(_ info: [Substring: Substring]) -> [Finding] {
    func bytes(_ field: Substring) -> Double { info[field].flatMap { Double($0) } ?? 0 }
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

  private func functions() async throws -> [Finding] {
    let ours = FunctionCode.revision
    let present: Int?
    do {
      present = try await read([["FCALL", "batchd_revision", 0]])[0].integer
    } catch let error as RedisError where RedisFunctionLibrary.isMissing(error) {
      present = nil
    }
    switch present {
    case nil:
      return [
        Finding("functions", "are not loaded", remedy: "start a worker: it loads them")
      ]
    case let present? where present < ours:
      return [
        Finding(
          "functions", "are of revision \(present), this batchd has \(ours)",
          remedy: "restart a worker of this release: it loads them")
      ]
    case let present? where present > ours:
      return [
        Finding(
          "functions", "are of revision \(present), this batchd knows \(ours)",
          remedy: "use the batchd of the newer workers here, too")
      ]
    default: return []
    }
  }
}
