import Glibc
import Synchronization

/// A server program that dies with its owner, and with the test process however that ends.
final class BoundProcess: Sendable {
  let pid: pid_t
  private let lifeline: Int32
  private let hasEnded = Atomic(false)

  /// - Parameter farewell: the command that ends it, whose pid is `$$`, once this process is gone.
  init(_ arguments: [String], output: String, farewell: String = "kill -9 $$") throws {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else {
      throw ChildProcess.Failure(description: "cannot make a pipe")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // As in TestRedis: exec keeps the shell's pid, and the end of the pipe without a line on it means that
    // this process is gone.
    let script = "exec 3<&0; (read line <&3 || { \(farewell); }) & exec \"$@\" 3<&- </dev/null"
    pid = try ChildProcess.spawn(
      ["/bin/sh", "-c", script, "sh"] + arguments, standardInput: ends[0], output: output)
    close(ends[0])
    lifeline = ends[1]
  }

  deinit {
    kill()
    close(lifeline)
  }

  /// Ends it with SIGKILL, or another signal that it obeys, and waits.
  func kill(_ signal: Int32 = SIGKILL) {
    guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
    Glibc.kill(pid, signal)
    ChildProcess.reap(pid)
    _ = write(lifeline, "\n", 1)
  }
}
