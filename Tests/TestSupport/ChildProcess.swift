import Dispatch
import Foundation
import Glibc

/// Starting programs without Foundation's Process, which is neither Sendable nor keeps our
/// descriptors from the child: a child that holds a copy of a socket keeps it open after we closed it. With many at once
/// its `run` now and then reads memory that is not its own (6.3.1: SIGSEGV in a memcpy).
enum ChildProcess {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// glibc 2.34 has it, but shows it with _GNU_SOURCE only, which Swift's Glibc does not set.
  private static let addCloseFrom = unsafeBitCast(
    dlsym(nil, "posix_spawn_file_actions_addclosefrom_np"),
    to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)

  /// Starts a program found in PATH, its input from a descriptor and its output into a file.
  /// - Parameters:
  ///   - outputDescriptor: instead of the file.
  ///   - error: the file for its standard error; nil is where its output goes.
  ///   - environment: nil is ours.
  static func spawn(
    _ arguments: [String], standardInput: Int32? = nil, output: String = "/dev/null",
    outputDescriptor: Int32? = nil, error: String? = nil, environment: [String: String]? = nil
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let standardInput {
      posix_spawn_file_actions_adddup2(&actions, standardInput, 0)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    let forWriting = O_WRONLY | O_CREAT | O_TRUNC
    if let outputDescriptor {
      posix_spawn_file_actions_adddup2(&actions, outputDescriptor, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, output, forWriting, 0o600)
    }
    if let error {
      posix_spawn_file_actions_addopen(&actions, 2, error, forWriting, 0o600)
    } else {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    }
    _ = addCloseFrom(&actions, 3)
    // Dispatch's threads block signals, and a child inherits the mask: it would never see a SIGTERM.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let words = arguments.map { strdup($0) }
    defer { for word in words { free(word) } }
    var pid: pid_t = 0
    let variables = environment.map { $0.map { strdup("\($0.key)=\($0.value)") } } ?? []
    defer { for variable in variables { free(variable) } }
    let code =
      environment == nil
      ? posix_spawnp(&pid, arguments[0], &actions, &attributes, words + [nil], environ)
      : posix_spawnp(&pid, arguments[0], &actions, &attributes, words + [nil], variables + [nil])
    guard code == 0 else {
      throw Failure(description: "cannot start \(arguments[0]): \(String(cString: strerror(code)))")
    }
    return pid
  }

  /// Waits for the end of a child on a thread of its own kind, and returns its exit status, or 128
  /// plus the signal that ended it.
  static func exitStatus(of pid: pid_t) async -> Int32 {
    await withCheckedContinuation { done in
      DispatchQueue.global().async { done.resume(returning: reap(pid)) }
    }
  }

  @discardableResult
  static func reap(_ pid: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }

  /// Runs a program to its end and returns what it wrote. Throws if it failed.
  static func run(_ arguments: [String], in folder: String) async throws -> String {
    let file = "\(folder)/output-\(UInt64.random(in: 0...UInt64.max))"
    defer { unlink(file) }
    let status = await exitStatus(of: try spawn(arguments, output: file))
    let output = String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
    guard status == 0 else {
      throw Failure(
        description: "\(arguments.joined(separator: " ")) ended with \(status): \(output)")
    }
    return output
  }
}
