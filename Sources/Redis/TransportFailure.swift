internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Says in words what NIO and BoringSSL report.
enum TransportFailure {
  static func text(of error: any Error) -> String {
    switch error {
    case let error as RedisError: error.message
    case let error as NIOConnectionError: text(of: error)
    // IOError's own words name the system call and its arguments.
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case ChannelError.connectTimeout: "no answer within the connect timeout"
    case NIOSSLError.uncleanShutdown: "Redis closed the connection"
    case NIOSSLError.handshakeFailed(let reason): handshake("\(reason)")
    case let error as NIOSSLExtraError: handshake("\(error)")
    case is BoringSSLError: handshake("\(error)")
    default: "\(error)"
    }
  }

  private static func text(of error: NIOConnectionError) -> String {
    if let failure = error.connectionErrors.first {
      return text(of: failure.error)
    }
    let unresolved = error.dnsAError ?? error.dnsAAAAError
    return "the host's name cannot be resolved" + (unresolved.map { " (\($0))" } ?? "")
  }

  private static func handshake(_ reason: String) -> String {
    let known = [
      ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by a CA we trust; set caFile"),
      ("failedToValidateHostname", "its certificate is for another host; check the URL"),
      ("WRONG_VERSION_NUMBER", "the peer does not speak TLS on this port; try redis://"),
      ("CERTIFICATE_REQUIRED", "Redis wants a client certificate"),
      ("HANDSHAKE_FAILURE", "the peer refused it; it may want a client certificate"),
    ]
    let hint = known.first { reason.lowercased().contains($0.0.lowercased()) }?.1
    return "TLS failed: \(hint.map { "\($0) " } ?? "")(\(reason))"
  }
}
