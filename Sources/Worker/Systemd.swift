internal import Glibc

/// Tells systemd how the service is, by the protocol of sd_notify(3): datagrams to the socket in `NOTIFY_SOCKET`.
/// Without that variable it says nothing.
struct Systemd: Sendable {
  private let path: String?
  /// How often systemd expects WATCHDOG=1; nil when the unit has no WatchdogSec.
  let watchdogInterval: Duration?

  init() {
    path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }
    watchdogInterval = getenv("WATCHDOG_USEC").flatMap { Int(String(cString: $0)) }
      .map { .microseconds($0) }
  }

  /// Sends lines such as `READY=1`.
  func notify(_ lines: String...) {
    guard let path else { return }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1))
    withUnsafeMutableBytes(of: &address.sun_path) { target in
      for (index, byte) in bytes.enumerated() { target[index] = byte }
      // systemd writes an abstract socket's name with @ for its leading NUL.
      if bytes.first == UInt8(ascii: "@") { target[0] = 0 }
    }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let text = Array(lines.joined(separator: "\n").utf8)
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, text, text.count, Int32(MSG_NOSIGNAL), $0, length)
      }
    }
  }
}
