internal import NIOSSL

/// TLS as `rediss://` asks for it: full verification, always.
enum TransportSecurity {
  /// The context for new connections, read anew for each so that a renewed certificate counts; nil
  /// without TLS. Throws `configuration` naming the file that cannot be used.
  static func context(_ configuration: RedisConfiguration) throws -> NIOSSLContext? {
    let files = [configuration.caFile, configuration.certificateFile, configuration.keyFile]
    guard configuration.endpoint.usesTLS else {
      guard files.allSatisfy({ $0 == nil }) else {
        throw error("certificate files are configured, but the URL is not rediss://")
      }
      return nil
    }
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.certificateVerification = .fullVerification
    if let file = configuration.caFile {
      tls.trustRoots = .certificates(try certificates(file))
    }
    switch (configuration.certificateFile, configuration.keyFile) {
    case (nil, nil): break
    case (let certificate?, let key?):
      tls.certificateChain = try certificates(certificate).map { .certificate($0) }
      do {
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
      } catch { throw Self.error("the key \(key) cannot be read as PEM (\(error))") }
    default: throw error("a client certificate needs both its file and its key's file")
    }
    do { return try NIOSSLContext(configuration: tls) } catch {
      throw Self.error("certificate and key cannot be used together (\(error))")
    }
  }

  /// The handler in front of ours. An address instead of a name is compared with the certificate's
  /// addresses; it is not allowed in SNI.
  static func handler(_ context: NIOSSLContext, host: String) throws -> NIOSSLClientHandler {
    do {
      return try NIOSSLClientHandler(context: context, serverHostname: host)
    } catch let error as NIOSSLExtraError where error == .cannotUseIPAddressInSNI {
      return try NIOSSLClientHandler(context: context, serverHostname: nil)
    }
  }

  private static func certificates(_ file: String) throws -> [NIOSSLCertificate] {
    do {
      let certificates = try NIOSSLCertificate.fromPEMFile(file)
      if !certificates.isEmpty { return certificates }
    } catch { throw Self.error("the file \(file) cannot be read as PEM certificates (\(error))") }
    throw error("the file \(file) holds no certificate")
  }

  private static func error(_ message: String) -> RedisError {
    RedisError(code: .configuration, message: message)
  }
}
