internal import ArgumentParser
internal import Foundation
internal import Queue
internal import Redis

/// `batchd doctor [--repair]`
struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look for what is wrong: Redis, store, secrets, workers, records; mend records.",
    discussion: """
      Looks at Redis, this user's rights there, the functions, the results store and the secrets of \
      this host, the workers, and every key under the prefix, in small steps; workers may run \
      meanwhile. Workers mend by themselves what hinders them, within seconds or minutes; this \
      finds the rest, and shows all. Run it as root or as batchd's user, who can read the secrets and the store.

        batchd doctor
        batchd doctor --repair
        batchd doctor --json | jq '.findings[].problem'

      Exit status: 0 when nothing is wrong (any more), 1 when something is, 69 without Redis. A \
      note is nothing wrong.
      """)

  @Flag(help: "Apply the remedy of each broken record; otherwise it is only shown.")
  var repair = false

  @OptionGroup var common: CommonOptions

  /// Something is wrong.
  private static let unhealthy = ExitCode(1)

  func run() async throws {
    let configuration = try common.configuration()
    var isHealthy = true
    var servers: [String: String] = [:]
    try await common.answer(configuration) { control in
      let report = try await examine(configuration, control, &servers)
      if !report.findings.allSatisfy(\.isRepaired) { isHealthy = false }
      return ({ report.lines(repair: repair, hasColor: Terminal().hasColor) }, report)
    }
    guard isHealthy else { throw Self.unhealthy }
  }

  /// - Parameter servers: by their run id, the first prefix that each was seen with.
  private func examine(
    _ configuration: Configuration, _ control: Control, _ servers: inout [String: String]
  ) async throws -> DoctorReport {
    let info = try await control.info()
    var redis = Control.redisArea(info)
    let isFirst = servers.isEmpty
    let server = info["run_id"] ?? ""
    if !server.isEmpty, let other = servers[server] {
      redis.notes.append("the same Redis as that of \(other): two prefixes share what one can do")
    }
    servers[server] = servers[server] ?? control.keys.prefix
    let own = configuration.prefixes.names
    if common.redis == nil, let served = try await control.servedPrefixes(), served != own {
      redis.findings.append(
        Finding(
          "prefixes",
          "the workers serve \(served.joined(separator: ", ")), this configuration names \(own.joined(separator: ", "))",
          remedy: "give all the same list in the same order: it says where an account's batches are"
        ))
    }
    redis.findings += RedisDisk.findings(info, url: configuration.redis.url)
    if let loading = try await control.checkLoading(info) { redis.findings.append(loading) }
    let functions = try await area("functions") { try await control.checkFunctions() }
    var report = DoctorReport(
      areas: [
        redis, try await control.checkRights(), functions,
        try await area("store") { try await checkStore(configuration, control) },
      ] + (isFirst ? [configuration.checkSecrets()] : []))
    // Without functions nobody has worked here, and nobody can look.
    if repair || functions.summary != "" {
      try await look(control, &report)
    } else {
      // What hinders them was found above.
      let isMissing = functions.findings.contains { $0.problem == "are not loaded" }
      report.areas.append(
        Area(
          "records",
          isMissing
            ? "none: nobody has worked here yet" : "not looked at: no function can be called"))
    }
    return report
  }

  /// The records first: what stands in the way of a look at the work may be repaired by then.
  private func look(_ control: Control, _ report: inout DoctorReport) async throws {
    var seen = Control.Inspection()
    let records = try await area("records") {
      let progress = ProgressLine()
      defer { progress.end() }
      seen = try await control.inspect(repair: repair) { keys in
        progress.show("\(Wording.count(keys)) keys looked at …")
      }
      var area = Area(
        "records", Wording.count(seen.keys, "key", "keys"), findings: seen.findings)
      if seen.aside > 0 {
        area.notes.append(
          "\(Wording.count(seen.aside, "key", "keys")) of the wrong type set aside as …:aside:…, deleted 30 days later"
        )
      }
      return area
    }
    report.keys = seen.keys
    report.aside = seen.aside
    report.areas += [try await area("workers") { try await control.checkWork() }, records]
  }

  /// What Redis refuses in one area is a finding, and no reason to look at no other.
  private func area(_ name: String, _ look: () async throws -> Area) async throws -> Area {
    do { return try await look() } catch let error as RedisError where error.code == .server {
      let remedy =
        switch error.serverCode {
        case "NOPERM": "give this user the rights of deploy/redis.acl"
        case "WRONGTYPE": "batchd doctor --repair sets aside what is of the wrong type"
        default: "see what else is found, and Redis's log"
        }
      let finding = Finding(name, "cannot be looked at: \(error.message)", remedy: remedy)
      return Area(name, findings: [finding])
    }
  }

  /// Only what a configuration names is this host's store: with --redis it may be another's.
  private func checkStore(_ configuration: Configuration, _ control: Control) async throws -> Area {
    guard common.redis == nil else {
      return Area("store", "not looked at: --redis may mean another one than the file's")
    }
    var (area, identity) = await configuration.store.check()
    if let missing = try await missingStore(configuration.store, control) {
      area.findings.append(missing)
    }
    if let identity, let known = try await control.storeIdentity(), known != identity {
      area.findings.append(
        Finding(
          "store", "results go to store \(known), the configuration names store \(identity)",
          remedy:
            "configure the same store everywhere, or HDEL \(control.keys.store) identity to move on purpose"
        ))
    }
    return area
  }

  /// A file that was moved or deleted under a worker of this host.
  private func missingStore(
    _ store: Configuration.StoreSettings, _ control: Control
  ) async throws -> Finding? {
    guard store.url == nil, !FileManager.default.fileExists(atPath: store.path) else { return nil }
    let host = ProcessInfo.processInfo.hostName
    let workers = try await control.workers().workers.filter {
      $0.state == .alive && $0.host == host
    }
    guard let worker = workers.first else { return nil }
    return Finding(
      "store", "\(store.path) is not there, and worker \(worker.name) of this host writes to it",
      remedy:
        "put it back: until then batches wait, uncharged, and what has ended stays in Redis; for an empty one HDEL \(control.keys.store) identity, then restart the workers"
    )
  }
}
