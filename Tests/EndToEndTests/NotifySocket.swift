import Glibc
import Testing

/// A datagram socket that services write to.
final class NotifySocket: Sendable {
  let path: String
  private let descriptor: Int32

  init(_ path: String) throws {
    self.path = path
    let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    descriptor = socket(AF_UNIX, kind | Int32(SOCK_NONBLOCK.rawValue), 0)
    unlink(path)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(code == 0, "\(path)")
  }

  deinit { close(descriptor) }

  /// What the services said since this was asked last, line by line.
  func takeMessages() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    var lines: [String] = []
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return lines }
      let text = String(decoding: buffer[..<count], as: UTF8.self)
      lines += text.split(separator: "\n").map(String.init)
    }
  }
}
