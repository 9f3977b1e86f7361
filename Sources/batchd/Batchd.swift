internal import ArgumentParser

/// The command `batchd`.
@main
struct Batchd: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "batchd",
    abstract: "A job-queue worker daemon over Redis.",
    version: version,
    subcommands: [UpCommand.self, WorkCommand.self, CheckConfigCommand.self])
}
