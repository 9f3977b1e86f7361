import Foundation
import Glibc

// glibc has these since 2.9 and 2.29, but shows them with _GNU_SOURCE only, which Swift's Glibc does not set.
@_silgen_name("pipe2")
private func pipe2(_ ends: UnsafeMutablePointer<Int32>, _ flags: Int32) -> Int32
@_silgen_name("posix_spawn_file_actions_addchdir_np")
private func addChangeDirectory(
  _ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ path: UnsafePointer<CChar>
) -> Int32

/// Starts programs. By posix_spawn, for swift-subprocess stops reading in the moment in which the program ends, and what a
/// filter of it still had to say is lost; a second one in the same group would have to run inside the first one's call.
enum Spawn {
  /// A pipe whose ends no program inherits that is not given them.
  struct Pipe {
    let read: Int32
    let write: Int32

    init() throws(ExecFailure) {
      var ends: [Int32] = [0, 0]
      guard pipe2(&ends, O_CLOEXEC) == 0 else { throw Spawn.failure("cannot make a pipe", errno) }
      // The places of the three standard descriptors are written to while a program starts.
      for index in 0...1 where ends[index] < 3 {
        let low = ends[index]
        ends[index] = fcntl(low, F_DUPFD_CLOEXEC, 3)
        Glibc.close(low)
      }
      (read, write) = (ends[0], ends[1])
    }

    func close() {
      Glibc.close(read)
      Glibc.close(write)
    }
  }

  struct Program {
    var file: String
    var arguments: [String]
    var environment: [String: String]
    var directory: String?
    /// The descriptors that become 0, 1 and 2; /dev/null for nil. It inherits no other.
    var standard: [Int32?]
  }

  /// glibc has it since 2.34. Without it a descriptor that some library opened without O_CLOEXEC is inherited.
  private static let addCloseFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
    unsafeBitCast(
      $0,
      to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)
  }

  /// POSIX_SPAWN_SETSID of glibc since 2.26, shown with _GNU_SOURCE only.
  private static let setSession: Int32 = 0x80

  /// Starts a program as the leader of a session of its own.
  /// - Returns: its pid, which is the session's and its first group's id as well.
  static func start(_ program: Program) throws(ExecFailure) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (target, descriptor) in program.standard.enumerated() {
      if let descriptor {
        posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
      } else {
        posix_spawn_file_actions_addopen(&actions, Int32(target), "/dev/null", O_RDWR, 0)
      }
    }
    if let directory = program.directory { _ = addChangeDirectory(&actions, directory) }
    _ = addCloseFrom?(&actions, 3)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // The worker ignores SIGPIPE, and some of its threads block signals: a program would inherit both.
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(
      &attributes, Int16(setSession | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    let words = program.arguments.map { strdup($0) }
    let values = program.environment.map { strdup("\($0)=\($1)") }
    defer { for text in words + values { free(text) } }
    var pid: pid_t = 0
    let code = posix_spawn(
      &pid, program.file, &actions, &attributes, words + [nil], values + [nil])
    guard code == 0 else { throw failure("cannot start \(program.file)", code) }
    return pid
  }

  /// Waits for the end of a program. It stays a zombie until `forget`: its pid means nothing else so long.
  /// - Returns: its end, as waitpid(2) would say it.
  static func end(of pid: pid_t) async -> Int32 {
    await withCheckedContinuation { continuation in
      // A thread that sleeps in the kernel: the threads that run tasks are few.
      let thread = Thread {
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        let status = info._sifields._sigchld.si_status
        continuation.resume(returning: info.si_code == Int32(CLD_EXITED) ? status << 8 : status)
      }
      thread.stackSize = 1 << 17
      thread.start()
    }
  }

  /// Lets the kernel forget a program that was killed or has ended.
  static func forget(_ pid: pid_t) {
    while waitpid(pid, nil, 0) < 0, errno == EINTR {}
  }

  private static func failure(_ what: String, _ code: Int32) -> ExecFailure {
    ExecFailure("\(what): \(String(cString: strerror(code)))")
  }
}
