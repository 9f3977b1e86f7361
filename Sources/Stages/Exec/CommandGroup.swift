import Foundation
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// A running command with all that it starts: one process group, which nothing of it outlives.
///
/// The group's leader is a *guard*: a shell that waits for the end of a pipe whose other end this process alone holds,
/// and then kills the group. So the group dies with the worker, however that dies; PR_SET_PDEATHSIG would reach the
/// command alone, not what it started, and would fire when the *thread* ends that started it. The guard is there before
/// the command is, and until it is waited for at the very end, its pid names this group and no other one.
/// What leaves the group by a session of its own is left to systemd, which ends it with the service.
final class CommandGroup: Sendable {
  struct Command {
    let file: String
    let arguments: [String]
    let environment: [String: String]
    let directory: String?
  }

  /// From SIGTERM to SIGKILL. Less than the two seconds that the worker waits for a handler that was told to stop.
  private static let grace = TimeAmount.seconds(1)
  /// How long an empty pipe is waited for that others hold open when the command has ended.
  private static let patience = TimeAmount.milliseconds(200)
  /// Open for as long as this process lives.
  private static let lifeline = Result { () throws(ExecFailure) in try Spawn.Pipe() }

  let output: PipeReader
  let errors: PipeReader
  private let input: any Channel
  private let guardian: pid_t
  private let program: pid_t

  private struct State {
    var isStopped = false
    var isOver = false
  }
  private let state = Mutex(State())

  /// - Throws: `ExecFailure` when it cannot be started, with all that was begun undone.
  static func start(_ command: Command) async throws -> CommandGroup {
    var pipes: [Spawn.Pipe] = []
    let guardian: pid_t
    let program: pid_t
    do {
      for _ in 0..<3 { pipes.append(try Spawn.Pipe()) }
      guardian = try startGuard()
      do {
        program = try Spawn.start(
          Spawn.Program(
            file: command.file, arguments: command.arguments, environment: command.environment,
            directory: command.directory,
            standard: [pipes[0].read, pipes[1].write, pipes[2].write],
            group: guardian))
      } catch {
        kill(-guardian, SIGKILL)
        _ = await Spawn.end(of: guardian)
        throw error
      }
    } catch {
      for pipe in pipes { pipe.close() }
      throw error
    }
    offerToTheKernel(program)
    for end in [pipes[0].read, pipes[1].write, pipes[2].write] { close(end) }
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    do {
      return CommandGroup(
        guardian, program,
        input: try await NIOPipeBootstrap(group: loop)
          .takingOwnershipOfDescriptor(output: pipes[0].write).get(),
        output: try await PipeReader.open(pipes[1].read, on: loop),
        errors: try await PipeReader.open(pipes[2].read, on: loop))
    } catch {
      kill(-guardian, SIGKILL)
      _ = await (Spawn.end(of: program), Spawn.end(of: guardian))
      throw ExecFailure("cannot listen to \(command.file): \(error)")
    }
  }

  private static func startGuard() throws(ExecFailure) -> pid_t {
    // A signal that is meant for the command shall not end its guard.
    let script = #"trap "" HUP INT QUIT TERM USR1 USR2 ALRM; read -r line || kill -9 0"#
    return try Spawn.start(
      Spawn.Program(
        file: "/bin/sh", arguments: ["/bin/sh", "-c", script], environment: [:], directory: nil,
        standard: [lifeline.get().read, nil, nil], group: 0))
  }

  /// When memory is short, the command goes before the worker does. No more than a wish: nothing depends on it.
  private static func offerToTheKernel(_ program: pid_t) {
    let file = open("/proc/\(program)/oom_score_adj", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, "1000", 4)
    close(file)
  }

  private init(
    _ guardian: pid_t, _ program: pid_t, input: any Channel, output: PipeReader,
    errors: PipeReader
  ) {
    self.guardian = guardian
    self.program = program
    self.input = input
    self.output = output
    self.errors = errors
  }

  /// Writes `text` to the command's standard input and closes that. A command may close it early, or end.
  func feed(_ text: some AsyncSequence<[UInt8], any Error>) async throws {
    for try await piece in text {
      do {
        try await input.writeAndFlush(ByteBuffer(bytes: piece)).get()
      } catch { break }
    }
    try? await input.close()
  }

  /// Tells the command and all that it started to stop, and kills what does not.
  func stop() {
    let isFirst = state.withLock { state in
      defer { state.isStopped = true }
      return !state.isStopped
    }
    guard isFirst else { return }
    signal(SIGTERM)
    input.eventLoop.scheduleTask(in: Self.grace) { self.signal(SIGKILL) }
  }

  /// Waits until the command itself has ended; its pipes come to their end soon after. Call it once.
  /// - Returns: what waitpid(2) says of it.
  func ended() async -> Int32 {
    let status = await Spawn.end(of: program)
    try? await input.close()
    // Nobody wants what a command says that was told to stop.
    let patience = state.withLock { $0.isStopped } ? .zero : Self.patience
    output.limit(patience)
    errors.limit(patience)
    return status
  }

  /// Kills what is left of the group, and forgets it. Call it once, after `ended`.
  func sweep() async {
    signal(SIGKILL)
    state.withLock { $0.isOver = true }
    _ = await Spawn.end(of: guardian)
    await output.close()
    await errors.close()
  }

  private func signal(_ number: Int32) {
    // Under the lock: never to a pid that may be another's by now.
    state.withLock { if !$0.isOver { kill(-guardian, number) } }
  }
}
