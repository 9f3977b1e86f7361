import Foundation
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// A running command with all that it starts: one session, which nothing of it outlives.
///
/// Beside it runs a *guard*: a shell that waits for the end of a pipe whose other end this process alone holds, and then kills
/// the session. So it dies with the worker, however that dies; PR_SET_PDEATHSIG would reach the command alone, not
/// what it started, and would fire when the *thread* ends that started it. Until the command is forgotten at the very
/// end, its pid names this session and no other one.
/// What leaves it by a session of its own (setsid) is left to systemd, which ends it with the service.
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

  let output: PipeReader
  let errors: PipeReader
  private let input: any Channel
  private let guardian: pid_t
  /// Held open for as long as the guard is to wait.
  private let lifeline: Int32
  private let session: Session

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
      for _ in 0..<4 { pipes.append(try Spawn.Pipe()) }
      guardian = try startGuard(pipes[3].read)
      do {
        program = try Spawn.start(
          Spawn.Program(
            file: command.file, arguments: command.arguments, environment: command.environment,
            directory: command.directory, standard: [pipes[0].read, pipes[1].write, pipes[2].write]
          ))
      } catch {
        kill(guardian, SIGKILL)
        Spawn.forget(guardian)
        throw error
      }
    } catch {
      for pipe in pipes { pipe.close() }
      throw error
    }
    let name = Array("\(program)\n".utf8)
    _ = write(pipes[3].write, name, name.count)
    offerToTheKernel(program)
    for end in [pipes[0].read, pipes[1].write, pipes[2].write, pipes[3].read] { close(end) }
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    return CommandGroup(
      guardian, lifeline: pipes[3].write, Session(id: program),
      input: try await NIOPipeBootstrap(group: loop)
        .takingOwnershipOfDescriptor(output: pipes[0].write).get(),
      output: try await PipeReader.open(pipes[1].read, on: loop),
      errors: try await PipeReader.open(pipes[2].read, on: loop))
  }

  /// It is there before the command, and told of it as soon as that is.
  private static func startGuard(_ lifeline: Int32) throws(ExecFailure) -> pid_t {
    // The session is the fourth word of proc(5)'s stat after the name, which may hold anything. Round after round, for who is
    // killed may have started another one just before.
    let script = """
      trap "" HUP INT QUIT TERM USR1 USR2 ALRM
      read -r session || exit
      read -r line && exit
      kill -9 -"$session"
      round=0
      found=1
      while [ "$found" ] && [ $((round += 1)) -le 100 ]; do
        found=
        for stat in /proc/[0-9]*/stat; do
          read -r text < "$stat" || continue
          set -- ${text##*) }
          [ "$4" = "$session" ] && [ "$1" != Z ] || continue
          stat=${stat#/proc/}
          kill -9 "${stat%/stat}"
          found=1
        done
      done
      """
    return try Spawn.start(
      Spawn.Program(
        file: "/bin/sh", arguments: ["/bin/sh", "-c", script], environment: [:], directory: nil,
        standard: [lifeline, nil, nil]))
  }

  /// When memory is short, the command goes before the worker does. No more than a wish: nothing depends on it.
  private static func offerToTheKernel(_ program: pid_t) {
    let file = open("/proc/\(program)/oom_score_adj", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, "1000", 4)
    close(file)
  }

  private init(
    _ guardian: pid_t, lifeline: Int32, _ session: Session, input: any Channel,
    output: PipeReader, errors: PipeReader
  ) {
    self.guardian = guardian
    self.lifeline = lifeline
    self.session = session
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
    let status = await Spawn.end(of: session.id)
    try? await input.close()
    // Nobody wants what a command says that was told to stop.
    let patience = state.withLock { $0.isStopped } ? .zero : Self.patience
    output.limit(patience)
    errors.limit(patience)
    return status
  }

  /// Kills what is left of the session, and forgets it. Call it once, after `ended`.
  func sweep() async {
    state.withLock { state in
      session.end()
      state.isOver = true
    }
    kill(guardian, SIGKILL)
    close(lifeline)
    Spawn.forget(guardian)
    Spawn.forget(session.id)
    await output.close()
    await errors.close()
  }

  private func signal(_ number: Int32) {
    // Under the lock: never to a pid that may be another's by now.
    state.withLock { if !$0.isOver { session.send(number) } }
  }
}
