internal import ArgumentParser

/// The command `batchd`. Each command states its name: to derive one from its type costs a worker half a megabyte.
@main
struct Batchd: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "batchd",
    abstract: "A job-queue worker daemon over Redis.",
    version: version,
    subcommands: [UpCommand.self, WorkCommand.self, CheckConfigCommand.self],
    groupedSubcommands: [
      CommandGroup(
        name: "Work and watch",
        subcommands: [
          EnqueueCommand.self, RefreshCommand.self, ImportCommand.self, WatchCommand.self,
          StatusCommand.self, WorkersCommand.self,
          HistoryCommand.self,
        ]),
      CommandGroup(
        name: "Write a stage", subcommands: [TryCommand.self, GateCommand.self]),
      CommandGroup(
        name: "Step in",
        subcommands: [
          RetryCommand.self, CancelCommand.self, PauseCommand.self, ResumeCommand.self,
          RejectedCommand.self, DoctorCommand.self,
        ]),
    ])

  /// The one place where a command's failure becomes a line and an exit status.
  static func main() async {
    do {
      var command = try await asyncParseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      // ArgumentParser knows its own: help, usage, and the codes that commands end with on purpose.
      guard let failure = CommandError(error) else { exit(withError: error) }
      Terminal.complain("batchd: \(failure.message)")
      exit(withError: ExitCode(failure.code.rawValue))
    }
  }
}
