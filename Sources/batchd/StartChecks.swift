internal import Logging
internal import Queue
internal import Redis
internal import ServiceLifecycle

/// Doctor's quick checks at a worker's start, as warnings in its log: beside the start, which does not wait for them.
struct StartChecks: Service {
  let configuration: Configuration
  let logger: Logger

  func run() async throws {
    var findings = configuration.exposedSecrets()
    findings += configuration.store.lowSpace(
      DiskSpace.free(at: DiskSpace.folder(of: configuration.store.path)))
    warn(findings)
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        for prefix in configuration.prefixes.names {
          group.addTask { try? await check(prefix) }
        }
      }
    }
  }

  private func check(_ prefix: String) async throws {
    // The start itself goes first.
    var pause = Duration.seconds(1)
    while true {
      try await Task.sleep(for: pause)
      // Without Redis the worker waits, and says so.
      if let findings = try? await askRedis(of: prefix) { return warn(findings, of: prefix) }
      pause = .seconds(5)
    }
  }

  private func askRedis(of prefix: String) async throws -> [Finding] {
    var settings = try configuration.redis.patientClient()
    settings.slotKey = prefix
    let client = RedisClient(
      settings, logger: Logger(label: "batchd") { _ in SwiftLogNoOpLogHandler() })
    let connection = try await client.connect()
    let control = Control(connection, prefix: prefix)
    let info = try await control.info()
    let rights = try await control.checkRights()
    let loading = try await control.checkLoading(info)
    await connection.close()
    return Control.redisArea(info).findings
      + RedisDisk.findings(info, url: configuration.redis.url) + rights.findings
      + [loading].compactMap { $0 }
  }

  private func warn(_ findings: [Finding], of prefix: String? = nil) {
    var logger = logger
    if let prefix, configuration.prefixes.names.count > 1 {
      logger[metadataKey: "prefix"] = "\(prefix)"
    }
    for finding in findings {
      logger.warning(
        "\(finding.key) \(finding.problem)", metadata: ["remedy": "\(finding.remedy)"])
    }
  }
}
