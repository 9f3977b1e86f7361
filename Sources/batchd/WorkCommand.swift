internal import ArgumentParser
internal import Foundation
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// `batchd work`: one worker process.
struct WorkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "work",
    abstract: "Run one worker until it is told to stop.",
    discussion: """
      Fetches batches, runs their stages and writes results to the store. Start as many as you \
      like, each with an instance name of its own; they share nothing but Redis and the store.

      SIGTERM and SIGINT hand running work back and end the worker; SIGHUP reads the accounts' \
      tokens again.

        batchd work --config /etc/batchd/config.toml --instance 2

      Exit codes: 0 stopped, 69 Redis, the store or another instance is in the way, 78 the \
      configuration is wrong.
      """)

  @Option(help: "The configuration.", completion: .file(extensions: ["toml"]))
  var config = Configuration.standardPath

  @Option(help: "Tells the workers of one host apart (default: `instance` of the file).")
  var instance: String?

  @Option(
    help: "Least level of what is logged: trace, debug, info, notice, warning, error.",
    completion: .list(["trace", "debug", "info", "notice", "warning", "error"]),
    transform: { text in
      guard let level = Logger.Level(rawValue: text) else {
        throw ValidationError("\(text) is none of trace, debug, info, notice, warning, error")
      }
      return level
    })
  var logLevel = Logger.Level.info

  func run() async throws {
    let configuration = try Configuration(file: config, instance: instance)
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "batchd")
    logger.logLevel = logLevel
    let tokens = AccountTokens(configuration.accounts)
    for account in tokens.problems.keys.sorted() {
      logger.warning("\(tokens.reason(for: account))")
    }
    let reloadable = ReloadableTokens(tokens)
    let wiring = try await Wiring(
      configuration, file: URL(fileURLWithPath: config).standardizedFileURL.path,
      tokens: reloadable, logger: logger)
    let reload = ReloadService(
      file: config, instance: instance, tokens: reloadable, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [
          .init(service: wiring.worker, successTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: reload),
          .init(
            service: StartChecks(configuration: configuration, logger: logger),
            successTerminationBehavior: .ignore),
        ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    do {
      try await group.run()
    } catch {
      try? await wiring.close()
      throw error
    }
    try await wiring.close()
  }
}

/// Reads the accounts' tokens again at each SIGHUP. A file that is wrong by then changes nothing.
private struct ReloadService: Service {
  let file: String
  let instance: String?
  let tokens: ReloadableTokens
  let logger: Logger

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    for await _ in signals.cancelOnGracefulShutdown() {
      do {
        let fresh = AccountTokens(try Configuration(file: file, instance: instance).accounts)
        tokens.replace(with: fresh)
        logger.notice("read the accounts again", metadata: ["accounts": "\(fresh)"])
        for account in fresh.problems.keys.sorted() {
          logger.warning("\(fresh.reason(for: account))")
        }
      } catch {
        logger.error(
          "the configuration is wrong; the accounts stay", metadata: ["error": "\(error)"])
      }
    }
  }
}
