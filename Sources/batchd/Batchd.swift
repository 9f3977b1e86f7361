internal import ArgumentParser

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// The command `batchd`. Each command states its name: to derive one from its type costs a worker half a megabyte.
@main
struct Batchd: AsyncParsableCommand {
  static let version = "0.2.0"

  static let configuration = CommandConfiguration(
    commandName: "batchd",
    abstract: "A job-queue worker daemon over Redis.",
    discussion: """
        batchd up --simulate
        batchd enqueue --id b1 --account acme A1B2C3 D4E5F6
        batchd watch b1
        batchd retry --status failed --error "429 Too Many"

      Answers go to standard output, everything else to standard error; --json answers for \
      programs. Colors only on a terminal, and not with NO_COLOR in the environment.

      Exit codes are those of sysexits(3): 0 done, 1 looked at and not well, 64 a wrong command \
      line, 65 a wrong request, 66 a file cannot be read, 69 Redis, the store or another process \
      is in the way, 70 a fault of ours, 73 a file cannot be made, 74 the answer \
      cannot be written, 75 not now, 77 Redis refuses this user, 78 a wrong \
      configuration, 130 Ctrl-C.
      """,
    version: version,
    subcommands: [UpCommand.self, WorkCommand.self, CheckConfigCommand.self],
    groupedSubcommands: [
      CommandGroup(
        name: "Work and watch",
        subcommands: [
          EnqueueCommand.self, RefreshCommand.self, ImportCommand.self, WatchCommand.self,
          StatusCommand.self, ExplainCommand.self, FailedCommand.self, WorkersCommand.self,
          HistoryCommand.self, MetricsCommand.self,
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

  /// Writes what print has left in its buffer.
  /// - Throws: when it cannot be written: a script must not take half an answer for all of it.
  private static func flush() throws {
    guard fflush(nil) != 0 else { return }
    // As the signal would: head(1) has had enough.
    if errno == EPIPE { throw ExitCode(128 + SIGPIPE) }
    throw CommandError(
      .inputOutput, "the answer cannot be written: \(String(cString: strerror(errno)))")
  }

  /// The one place where a command's failure becomes a line and an exit status.
  static func main() async {
    do {
      var command = try await asyncParseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      try flush()
    } catch {
      var error: any Error = error
      // An exit status is for who has the answer.
      if error is ExitCode {
        do { try flush() } catch let failure { error = failure }
      }
      // ArgumentParser knows its own: help, usage, and the codes that commands end with on purpose.
      guard let failure = CommandError(error) else { exit(withError: error) }
      Terminal.complain("batchd: \(failure.message)")
      exit(withError: ExitCode(failure.code.rawValue))
    }
  }
}
