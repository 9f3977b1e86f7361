internal import Glibc

/// The process that listens on a Unix socket.
enum SocketOwner {
  /// Its pid; nil when nobody listens there.
  static func pid(of path: String) -> pid_t? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { return nil }
    defer { close(probe) }
    let length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let isConnected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(probe, $0, length) == 0 }
    }
    guard isConnected else { return nil }
    // struct ucred is hidden behind _GNU_SOURCE: pid, uid, gid.
    var credentials: (pid: pid_t, uid: UInt32, gid: UInt32) = (0, 0, 0)
    var size = socklen_t(MemoryLayout.size(ofValue: credentials))
    _ = getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &credentials, &size)
    return credentials.pid
  }
}
