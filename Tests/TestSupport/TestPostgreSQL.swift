import Foundation
import Glibc
import Synchronization
import Testing

/// A private PostgreSQL server on a Unix socket in a folder of its own (TLS on localhost as well, if certificates are
/// given). It dies with its owner, and with the test process if that crashes.
///
/// Everybody may connect without a password but the role `locked`.
public final class TestPostgreSQL: Sendable {
  public static let password = "a secret: %40 '\\x?"

  public var folder: String { storage.path }
  /// Port of the TLS listener; 0 without certificates.
  public let tlsPort: Int

  private let storage: TestFolder
  private let arguments: [String]
  private let running = Mutex<BoundProcess?>(nil)

  /// Makes a cluster, starts it and waits until it answers.
  public init(tls: TestCertificates? = nil) async throws {
    storage = try TestFolder()
    let folder = storage.path
    tlsPort = try tls == nil ? 0 : freePort()
    var settings = [
      "unix_socket_directories=\(folder)", "listen_addresses=\(tls == nil ? "" : "127.0.0.1")",
      "fsync=off", "shared_buffers=16MB", "max_connections=300", "log_min_messages=log",
    ]
    if let tls {
      // The server takes a key only if it is its own user's, and nobody else's.
      try FileManager.default.copyItem(atPath: tls.serverKey, toPath: "\(folder)/server.key")
      try FileManager.default.copyItem(atPath: tls.server, toPath: "\(folder)/server.pem")
      settings += [
        "port=\(tlsPort)", "ssl=on", "ssl_cert_file=\(folder)/server.pem",
        "ssl_key_file=\(folder)/server.key",
      ]
    }
    arguments =
      Self.unprivileged + ["\(Self.programs)/postgres", "-D", "\(folder)/data"]
      + settings.flatMap { ["-c", $0] }
    if geteuid() == 0 {
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) + ["."] {
        chown("\(folder)/\(name)", Self.nobody, Self.nobody)
      }
    }
    chmod(folder, 0o755)
    _ = try await ChildProcess.run(
      Self.unprivileged + [
        "\(Self.programs)/initdb", "--no-sync", "--no-instructions", "--auth=trust",
        "--username=batchd", "--encoding=UTF8", "--locale=C", "-D", "\(folder)/data",
      ], in: folder)
    try "local all locked scram-sha-256\nlocal all all trust\nhost all all all trust\n".write(
      toFile: "\(folder)/data/pg_hba.conf", atomically: false, encoding: .utf8)
    try await start()
    let quoted = Self.password.replacing("'", with: "''")
    _ = try await sql("CREATE ROLE locked LOGIN PASSWORD '\(quoted)'")
  }

  deinit { running.withLock { $0 }?.kill(SIGQUIT) }

  /// Starts it again with the same data.
  public func start() async throws {
    // Immediate shutdown, for which a killed postmaster would leave its processes and its shared memory behind.
    let farewell = """
      kill -QUIT $$; for i in 1 2 3 4 5 6 7 8 9; do kill -0 $$ || break; sleep 0.2; done 2>/dev/null; \
      rm -rf \(folder)
      """
    let process = try BoundProcess(arguments, output: "\(folder)/log", farewell: farewell)
    running.withLock { $0 = process }
    let isUp = await eventually(within: .seconds(30), "PostgreSQL in \(folder) answers") {
      _ = try await sql("SELECT 1")
      return true
    }
    guard isUp else { throw ChildProcess.Failure(description: "PostgreSQL did not start") }
  }

  /// Ends every session and the server: in order, or at once, as `pg_ctl -m immediate` does.
  public func stop(immediately: Bool = false) { end(immediately ? SIGQUIT : SIGINT) }

  /// Ends every process of it with SIGKILL.
  public func kill() {
    let pid = running.withLock { $0?.pid } ?? 0
    let path = "/proc/\(pid)/task/\(pid)/children"
    let children = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    end(SIGKILL)
    for child in children.split(separator: " ").compactMap({ pid_t($0) }) {
      Glibc.kill(child, SIGKILL)
    }
  }

  private func end(_ signal: Int32) {
    running.withLock { running in
      defer { running = nil }
      return running
    }?.kill(signal)
  }

  /// Makes an empty database.
  /// - Returns: its address.
  public func database(
    _ name: String = "d\(UInt64.random(in: 0...UInt64.max))", encoding: String = "UTF8"
  ) async throws -> String {
    _ = try await sql("CREATE DATABASE \(name) TEMPLATE template0 ENCODING '\(encoding)'")
    return address(of: name)
  }

  public func address(of database: String, role: String = "batchd") -> String {
    let port = tlsPort == 0 ? "" : " port=\(tlsPort)"
    return "host=\(folder)\(port) dbname=\(database) user=\(role)"
  }

  /// Runs statements in a database and returns what psql prints, without the last newline.
  public func sql(_ text: String, in database: String = "postgres") async throws -> String {
    let output = try await ChildProcess.run(
      [
        "\(Self.programs)/psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atq",
        "-c", text, address(of: database),
      ], in: folder)
    return output.hasSuffix("\n") ? String(output.dropLast()) : output
  }

  /// Debian's own folder of each version, which is not on PATH; else where PATH has it.
  private static let programs: String = {
    let root = "/usr/lib/postgresql"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    let versions = names.compactMap { Int($0) }.sorted(by: >)
    let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let places = versions.map { "\(root)/\($0)/bin" } + paths.map(String.init)
    return places.first { FileManager.default.isExecutableFile(atPath: "\($0)/initdb") } ?? root
  }()

  private static let nobody: UInt32 = 65_534

  /// The server does not run as root.
  private static let unprivileged =
    geteuid() == 0
    ? ["setpriv", "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups", "--"] : []
}
