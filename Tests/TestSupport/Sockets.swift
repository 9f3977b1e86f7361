import Glibc

/// A TCP port of the loopback interface that was free a moment ago.
public func freePort() throws -> Int {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = inet_addr("127.0.0.1")
  var size = socklen_t(MemoryLayout<sockaddr_in>.size)
  let code = withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
      bind(descriptor, pointer, size) == 0 ? getsockname(descriptor, pointer, &size) : -1
    }
  }
  guard code == 0 else { throw ChildProcess.Failure(description: "no TCP port is free") }
  return Int(UInt16(bigEndian: address.sin_port))
}

/// A connected Unix socket, or nil if nobody listens.
func connectUnix(_ path: String) -> Int32? { openUnix(path, connect) }

/// A Unix socket at which connections can be accepted, or nil if the path is taken.
func listenUnix(_ path: String) -> Int32? {
  openUnix(path) { descriptor, address, size in
    bind(descriptor, address, size) == 0 ? listen(descriptor, 512) : -1
  }
}

private func openUnix(
  _ path: String, _ use: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
) -> Int32? {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  let code = withUnsafePointer(to: address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
      use(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  if code == 0 { return descriptor }
  close(descriptor)
  return nil
}
