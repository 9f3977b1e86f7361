import Foundation
import Glibc
import TestSupport

@testable import enum TestSupport.ChildProcess

/// A file system of 32 MiB of its own, which can be full. To mount it takes root's rights, or those that a container
/// without them is given by sudo.
final class SmallDisk: Sendable {
  private let folder: TestFolder
  var path: String { "\(folder.path)/disk" }
  private var ballast: String { "\(path)/ballast" }

  init() async throws {
    folder = try TestFolder()
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    _ = try await ChildProcess.run(
      Self.privileged + ["mount", "-t", "tmpfs", "-o", "size=32m,mode=777", "batchd-test", path],
      in: folder.path)
  }

  deinit {
    // Workers that are about to die may still have files open.
    let pid = try? ChildProcess.spawn(Self.privileged + ["umount", "--lazy", path])
    if let pid { ChildProcess.reap(pid) }
  }

  private static let privileged = getuid() == 0 ? [] : ["sudo", "--non-interactive"]

  /// Takes every byte that is left.
  func fill() throws {
    let descriptor = open(ballast, O_WRONLY | O_CREAT, 0o600)
    defer { close(descriptor) }
    let block = [UInt8](repeating: 0, count: 1 << 16)
    var size = block.count
    while size > 0 {
      let written = write(descriptor, block, size)
      if written <= 0 { size /= 2 }
    }
    guard errno == ENOSPC else { throw ChildProcess.Failure(description: "\(path) is not full") }
  }

  func empty() throws { try FileManager.default.removeItem(atPath: ballast) }
}
