import Foundation
import Glibc
import TestSupport

@testable import enum TestSupport.ChildProcess

/// A folder whose disk can be full: a small file system of its own. To mount one takes root; for others, the workers'
/// files may not grow meanwhile, which their writes meet as they would a full disk.
final class SmallDisk: Sendable {
  private let folder: TestFolder
  private let isMounted = getuid() == 0
  var path: String { "\(folder.path)/disk" }
  private var ballast: String { "\(path)/ballast" }

  init() async throws {
    folder = try TestFolder()
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    guard isMounted else { return }
    let mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "batchd-test", path]
    _ = try await ChildProcess.run(mount, in: folder.path)
  }

  deinit {
    guard isMounted else { return }
    // Workers that are about to die may still have files open.
    let pid = try? ChildProcess.spawn(["umount", "--lazy", path])
    if let pid { ChildProcess.reap(pid) }
  }

  /// Leaves nothing to `workers` to write into.
  func fill(for workers: [Program]) async throws {
    guard isMounted else { return try await limitFiles(of: workers, "0:unlimited") }
    let descriptor = open(ballast, O_WRONLY | O_CREAT, 0o600)
    defer { close(descriptor) }
    let block = [UInt8](repeating: 0, count: 1 << 16)
    var size = block.count
    while size > 0 {
      if write(descriptor, block, size) <= 0 { size /= 2 }
    }
  }

  func empty(for workers: [Program]) async throws {
    guard isMounted else { return try await limitFiles(of: workers, "unlimited") }
    try FileManager.default.removeItem(atPath: ballast)
  }

  private func limitFiles(of workers: [Program], _ limit: String) async throws {
    for worker in workers {
      let command = ["prlimit", "--pid", "\(worker.pid)", "--fsize=\(limit)"]
      _ = try await ChildProcess.run(command, in: folder.path)
    }
  }
}
