import Glibc
import Synchronization
import Testing

/// A private redis-server on a Unix socket in a folder of its own (TLS on localhost as well, if
/// certificates are given). It dies with its owner, and with the test process if that crashes.
public final class TestRedis: Sendable {
  private struct Running {
    var pid: pid_t
    /// The write end of the watchdog's pipe: closed by the kernel when this process dies.
    var lifeline: Int32
  }

  public var folder: String { storage.path }
  public var socketPath: String { "\(folder)/redis.sock" }
  public var url: String { "unix://\(socketPath)" }
  /// Port of the TLS listener; 0 without certificates.
  public let tlsPort: Int

  private let storage: TestFolder
  private let arguments: [String]
  private let through: [String]
  private let running = Mutex<Running?>(nil)

  /// Starts redis-server and waits until it answers. `arguments` are appended to the defaults
  /// (no TCP, no save, no AOF), such as `["--appendonly", "yes"]`. `through` is a command that takes another one as its
  /// arguments and becomes it, such as `env A=1`.
  public init(
    arguments: [String] = [], tls: TestCertificates? = nil, through: [String] = []
  ) async throws {
    self.through = through
    storage = try TestFolder()
    tlsPort = try tls == nil ? 0 : freePort()
    var all = [
      "--port", "0", "--unixsocket", "\(storage.path)/redis.sock", "--dir", storage.path,
      "--logfile", "\(storage.path)/redis.log", "--save", "", "--appendonly", "no",
    ]
    if let tls {
      all += [
        "--tls-port", "\(tlsPort)", "--bind", "127.0.0.1", "--tls-cert-file", tls.server,
        "--tls-key-file", tls.serverKey, "--tls-ca-cert-file", tls.ca,
      ]
    }
    self.arguments = all + arguments
    try await start()
  }

  deinit { kill() }

  /// Starts it again with the same folder, thus the same AOF or RDB.
  public func start() async throws {
    guard running.withLock({ $0 == nil }) else { return }
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else {
      throw ChildProcess.Failure(description: "cannot make a pipe")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // exec keeps the shell's pid, so that signals and waitpid are for redis-server itself. A line on
    // the pipe dismisses the watchdog, its end without one means that this process is gone.
    // PDEATHSIG would not do: it fires when the starting *thread* ends.
    let watchdog = "read line <&3 || { kill -9 $$; rm -rf \"$0\"; }"
    let script = "exec 3<&0; (\(watchdog)) & exec \"$@\" 3<&-"
    let pid = try ChildProcess.spawn(
      ["/bin/sh", "-c", script, folder] + through + ["redis-server"] + arguments,
      standardInput: ends[0],
      output: "\(folder)/stdout.log")
    Glibc.close(ends[0])
    running.withLock { $0 = Running(pid: pid, lifeline: ends[1]) }
    let isUp = await eventually(within: .seconds(20), "redis-server in \(folder) answers") {
      self.accepts()
    }
    guard isUp else { throw ChildProcess.Failure(description: "redis-server did not start") }
  }

  /// Ends it with SIGTERM, which lets it finish its AOF, and waits.
  public func stop() async { await end(SIGTERM) }

  /// Ends it with SIGKILL and waits.
  public func kill() {
    guard let running = take() else { return }
    Glibc.kill(running.pid, SIGKILL)
    ChildProcess.reap(running.pid)
    dismiss(running)
  }

  /// Stops it from running while its sockets stay open: a peer that is silent, not gone.
  public func suspend() { running.withLock { _ = $0.map { Glibc.kill($0.pid, SIGSTOP) } } }

  public func resume() { running.withLock { _ = $0.map { Glibc.kill($0.pid, SIGCONT) } } }

  /// Runs the real redis-cli on the socket and returns what it prints, without the last newline.
  public func cli(_ arguments: String...) async throws -> String { try await cli(arguments) }

  public func cli(_ arguments: [String]) async throws -> String {
    let output = try await ChildProcess.run(
      ["redis-cli", "-s", socketPath] + arguments, in: folder)
    return output.hasSuffix("\n") ? String(output.dropLast()) : output
  }

  /// Runs a shell script in which `rcli` is redis-cli on the socket, and returns what it prints.
  public func shell(_ script: String) async throws -> String {
    try await ChildProcess.run(
      ["/bin/sh", "-c", "rcli() { redis-cli -s \"$0\" \"$@\"; }\n\(script)", socketPath], in: folder
    )
  }

  private func end(_ signal: Int32) async {
    guard let running = take() else { return }
    Glibc.kill(running.pid, signal)
    _ = await ChildProcess.exitStatus(of: running.pid)
    dismiss(running)
  }

  private func take() -> Running? {
    running.withLock { running in
      defer { running = nil }
      return running
    }
  }

  private func dismiss(_ running: Running) {
    _ = write(running.lifeline, "\n", 1)
    Glibc.close(running.lifeline)
  }

  /// Whether a PING is answered. AUTH and loading count as answers that are to be waited for by
  /// whoever asked for them.
  private func accepts() -> Bool {
    guard let descriptor = connectUnix(socketPath) else { return false }
    defer { Glibc.close(descriptor) }
    var timeout = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    guard write(descriptor, "PING\r\n", 6) == 6 else { return false }
    var reply = [UInt8](repeating: 0, count: 64)
    let count = read(descriptor, &reply, reply.count)
    guard count > 0 else { return false }
    return !String(decoding: reply[..<count], as: UTF8.self).hasPrefix("-LOADING")
  }
}
