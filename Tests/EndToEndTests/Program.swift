import Foundation
import Glibc
import Synchronization
import TestSupport

@testable import enum TestSupport.ChildProcess

/// One of our executables as a process of its own. It dies with its owner, and with the test process
/// however that ends: a worker that outlives its test would go on with the next one's machine.
final class Program: Sendable {
  let pid: pid_t
  let started = Date.now
  private let outputPath: String
  private let lifeline: Int32
  private let ended: Task<Int32, Never>
  private let isOver: Flag

  /// Starts `batchd` or `batchd-dev`, which lie beside the test's executable.
  ///
  /// - Parameters:
  ///   - output: a file for standard output and standard error.
  ///   - environment: what it gets beside ours.
  ///   - through: a command that takes another one as its arguments and becomes it, such as `prlimit --core=0`.
  init(
    _ name: String, _ arguments: [String], output: String, environment: [String: String] = [:],
    through: [String] = []
  ) throws {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let executable = URL(filePath: own).deletingLastPathComponent().appending(path: name).path
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw ChildProcess.Failure(description: "no pipe") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // As in TestRedis: exec keeps the shell's pid, and the end of the pipe without a line on it means
    // that the test process is gone.
    let watchdog = "read line <&3 || kill -9 $$"
    let script = "exec 3<&0; (\(watchdog)) & exec \"$0\" \"$@\" 3<&- </dev/null"
    pid = try ChildProcess.spawn(
      ["/bin/sh", "-c", script, "env"] + environment.map { "\($0.key)=\($0.value)" }
        + through + [executable] + arguments, standardInput: ends[0], output: output)
    close(ends[0])
    lifeline = ends[1]
    outputPath = output
    let flag = Flag()
    isOver = flag
    ended = Task { [pid] in
      await withCheckedContinuation { done in
        // A thread of its own: those of the global queue are few, and these wait for minutes.
        Thread.detachNewThread {
          let status = ChildProcess.reap(pid)
          flag.raise()
          done.resume(returning: status)
        }
      }
    }
  }

  deinit {
    send(SIGKILL)
    _ = write(lifeline, "\n", 1)
    close(lifeline)
  }

  var isRunning: Bool { !isOver.isRaised }

  /// What it has written so far.
  var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }

  func send(_ signal: Int32) {
    if isRunning { kill(pid, signal) }
  }

  /// Waits for its end: its exit status, or 128 plus the signal that ended it.
  func exitStatus() async -> Int32 { await ended.value }

  /// Its exit status once it has ended, nil when it runs on for longer than `limit`.
  func exitStatus(within limit: Duration) async -> Int32? {
    let deadline = ContinuousClock.now + limit * Pace.slowness
    while isRunning, ContinuousClock.now < deadline {
      try? await Task.sleep(for: .milliseconds(5))
    }
    return isRunning ? nil : await ended.value
  }

  func killNow() async {
    send(SIGKILL)
    _ = await ended.value
  }
}

private final class Flag: Sendable {
  private let value = Atomic(false)
  var isRaised: Bool { value.load(ordering: .acquiring) }
  func raise() { value.store(true, ordering: .releasing) }
}
