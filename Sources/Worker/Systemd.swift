internal import Glibc
import Synchronization

/// Tells systemd how the service is, by the protocol of sd_notify(3): datagrams to the socket in `NOTIFY_SOCKET`.
/// Without that variable it says nothing. Under several prefixes the service is as well as the worst of them.
final class Systemd: Sendable {
  private struct Part {
    var isReady = false
    /// Since the last WATCHDOG=1.
    var isAttested = false
    var hasEnded = false
    var status = "starting"
  }

  private struct State {
    var parts: [Part]
    var isReady = false
  }

  private let prefixes: [String]
  private let state: Mutex<State>
  private let path: String?
  /// How often systemd expects WATCHDOG=1; nil when the unit has no WatchdogSec.
  let watchdogInterval: Duration?

  init(_ prefixes: [String]) {
    self.prefixes = prefixes
    state = Mutex(State(parts: prefixes.map { _ in Part() }))
    path = getenv("NOTIFY_SOCKET").map { String(cString: $0) }
    watchdogInterval = getenv("WATCHDOG_USEC").flatMap { Int(String(cString: $0)) }
      .map { .microseconds($0) }
  }

  /// The worker is up under `prefix`; systemd hears it once it is so under all.
  func ready(_ prefix: String, status: String) {
    let isFirst = change(prefix) { state, at in
      state.parts[at].isReady = true
      defer { state.isReady = state.parts.allSatisfy(\.isReady) }
      return !state.isReady && state.parts.allSatisfy(\.isReady)
    }
    if isFirst == true { notify("READY=1") }
    tell(status, of: prefix)
  }

  /// Says in words how the worker is under `prefix`.
  func tell(_ status: String, of prefix: String) {
    let text = change(prefix) { [prefixes] state, at in
      state.parts[at].status = status
      guard prefixes.count > 1 else { return status }
      return zip(prefixes, state.parts).map { "\($0): \($1.status)" }.joined(separator: "; ")
    }
    if let text { notify("STATUS=\(text)") }
  }

  /// The loops turn under `prefix`. The watchdog hears of it once they have under all since it heard last.
  func attest(_ prefix: String) {
    let isWhole = change(prefix) { state, at in
      state.parts[at].isAttested = true
      guard state.parts.allSatisfy({ $0.isAttested || $0.hasEnded }) else { return false }
      for at in state.parts.indices { state.parts[at].isAttested = false }
      return true
    }
    if isWhole == true { notify("WATCHDOG=1") }
  }

  /// Nothing turns under `prefix` any more, while there may be work to end under others.
  func end(_ prefix: String) {
    _ = change(prefix) { state, at in state.parts[at].hasEnded = true }
  }

  private func change<T: Sendable>(
    _ prefix: String, _ body: (inout sending State, Int) -> sending T
  ) -> T? {
    guard let at = prefixes.firstIndex(of: prefix) else { return nil }
    return state.withLock { body(&$0, at) }
  }

  /// Sends lines such as `STOPPING=1`.
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
