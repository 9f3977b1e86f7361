internal import Foundation
internal import Glibc

/// A PostgreSQL server of the benchmark's own, with its defaults: every commit is synced to the disk.
final class BenchPostgreSQL {
  let address: String
  private let folder: String
  private let process: BenchProcess

  /// The folder of initdb and postgres: that of Debian's newest version, which is not on PATH.
  private static var programs: String? {
    let root = "/usr/lib/postgresql"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return names.compactMap { Int($0) }.sorted(by: >).map { "\(root)/\($0)/bin" }.first {
      FileManager.default.isExecutableFile(atPath: "\($0)/initdb")
    }
  }

  /// PostgreSQL does not run as root.
  private static let nobody: UInt32 = 65_534
  private static let unprivileged =
    geteuid() == 0
    ? ["setpriv", "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups", "--"] : []

  /// Makes a cluster and starts it; nil where PostgreSQL is not installed.
  init?() throws {
    guard let programs = Self.programs else { return nil }
    var template = Array("/tmp/batchd-bench-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw BenchError("cannot make a folder in /tmp") }
    let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    self.folder = folder
    if geteuid() == 0 { chown(folder, Self.nobody, Self.nobody) }
    address = "host=\(folder) dbname=postgres user=bench"
    let making = Process()
    making.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    making.arguments =
      Self.unprivileged + [
        "\(programs)/initdb", "--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C",
        "-D", "\(folder)/data",
      ]
    making.standardOutput = FileHandle.nullDevice
    try making.run()
    making.waitUntilExit()
    guard making.terminationStatus == 0 else { throw BenchError("initdb failed in \(folder)") }
    process = try BenchProcess(
      Self.unprivileged + [
        "\(programs)/postgres", "-D", "\(folder)/data", "-c", "listen_addresses=",
        "-c", "unix_socket_directories=\(folder)",
      ], output: "\(folder)/log")
  }

  /// Ends the server and removes its data.
  func end() async throws {
    try await process.stop(SIGINT)
    try? FileManager.default.removeItem(atPath: folder)
  }
}
