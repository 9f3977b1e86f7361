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

  @Option(
    help: ArgumentHelp(
      "The form of the log on standard error, one event a line: text or json.",
      discussion: "Under systemd each line begins with its priority for the journal."))
  var logFormat = LogFormat.text

  func run() async throws {
    let reader = LineLogHandler.Reader.current()
    LoggingSystem.bootstrap { [logFormat] _ in LineLogHandler(logFormat, for: reader) }
    var logger = Logger(label: "batchd")
    logger.logLevel = logLevel
    do {
      try await work(logger)
    } catch {
      // Who reads the log by a program finds its end there; a person has it in the command's own words.
      guard logFormat == .json || reader == .journal, let failure = CommandError(error) else {
        throw error
      }
      logger.error("the worker ends", metadata: ["error": "\(failure.message)"])
      throw ExitCode(failure.code.rawValue)
    }
  }

  private func work(_ logger: Logger) async throws {
    let configuration = try Configuration(file: config, instance: instance)
    let tokens = AccountTokens(configuration.accounts)
    tokens.report(to: logger)
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
        fresh.report(to: logger)
      } catch {
        logger.error(
          "the configuration is wrong; the accounts stay", metadata: ["error": "\(error)"])
      }
    }
  }
}

extension AccountTokens {
  /// A line for each account whose batches this worker has to leave for later.
  fileprivate func report(to logger: Logger) {
    for account in problems.keys.sorted() {
      logger.warning(
        "an account's token cannot be used",
        metadata: ["account": "\(account)", "error": "\(reason(for: account))"])
    }
  }
}
