internal import Glibc

/// One process per worker name on a host: an abstract Unix socket, which the kernel frees with its process, however
/// that dies, and which needs no folder with the right permissions.
final class InstanceLock: Sendable {
  private let descriptor: Int32

  /// - Parameter queue: names Redis and prefix: the same worker name may serve another queue.
  /// - Throws: `WorkerError` with `.twin`, naming the pid of the process that has the name.
  init(queue: String, name: String) throws {
    let socketName = "batchd/\(Self.digest("\(name)@\(queue)"))/\(name)"
    let opened = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard opened >= 0 else {
      let reason = String(cString: strerror(errno))
      throw WorkerError(
        .system,
        "cannot open a socket for the name of worker \(name): \(reason); raise the limit that it names (ulimit -n, memory)"
      )
    }
    descriptor = opened
    let isBound = Self.withAddress(socketName) { bind(opened, $0, $1) } == 0
    guard isBound, listen(opened, 1) == 0 else {
      let holder = Self.holder(of: socketName)
      throw WorkerError(
        .twin,
        "worker \(name) runs on this host already\(holder.map { " with pid \($0)" } ?? ""); give this one another --instance, or stop that one"
      )
    }
  }

  deinit { close(descriptor) }

  /// The boot of the kernel and the network namespace, in which abstract sockets are unique: another machine, a clone with
  /// the same machine id, another container and the same machine before its last boot all have another.
  static let reach: String = {
    var boot = [CChar](repeating: 0, count: 64)
    let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    let length = read(file, &boot, boot.count)
    close(file)
    var space = stat()
    guard length >= 36, stat("/proc/self/ns/net", &space) == 0 else {
      // Unlike anybody else's: an earlier life then has to be silent for a while before its name is free.
      return "\(UInt64.random(in: .min ... .max))"
    }
    return String(decoding: boot.prefix(36).map { UInt8(bitPattern: $0) }, as: UTF8.self)
      + ".\(space.st_ino)"
  }()

  /// FNV-1a: several Sentinels' addresses are longer than a socket's name may be.
  private static func digest(_ text: String) -> String {
    let hash = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    return String(hash, radix: 16)
  }

  private static func withAddress<T>(
    _ name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T
  ) -> T {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(name.utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1))
    // A leading NUL puts the name into the abstract namespace.
    withUnsafeMutableBytes(of: &address.sun_path) { path in
      for (index, byte) in bytes.enumerated() { path[index + 1] = byte }
    }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + bytes.count)
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  private static func holder(of name: String) -> Int32? {
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { return nil }
    defer { close(probe) }
    guard withAddress(name, { connect(probe, $0, $1) }) == 0 else { return nil }
    // struct ucred is hidden behind _GNU_SOURCE: pid, uid, gid.
    var credentials: (pid: Int32, uid: UInt32, gid: UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout.size(ofValue: credentials))
    guard getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else { return nil }
    return credentials.pid
  }
}
