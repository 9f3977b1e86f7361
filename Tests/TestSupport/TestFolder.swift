import Foundation
import Glibc

/// A temporary folder of its own, removed when its owner goes. Its path is short, because that of a
/// Unix socket may not exceed 107 bytes.
public final class TestFolder: Sendable {
  public let path: String

  public init() throws {
    var template = Array("/tmp/batchd-test-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else {
      throw ChildProcess.Failure(description: "cannot make a folder in /tmp")
    }
    path = String(cString: made)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
