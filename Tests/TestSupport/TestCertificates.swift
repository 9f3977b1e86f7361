/// A CA with a server certificate for `localhost` (and no address) and a client certificate, made by
/// openssl. `otherCA` signed neither.
public struct TestCertificates: Sendable {
  public let folder: TestFolder
  public var ca: String { "\(folder.path)/ca.pem" }
  public var otherCA: String { "\(folder.path)/other.pem" }
  public var server: String { "\(folder.path)/server.pem" }
  public var serverKey: String { "\(folder.path)/server.key" }
  public var client: String { "\(folder.path)/client.pem" }
  public var clientKey: String { "\(folder.path)/client.key" }

  public init() async throws {
    folder = try TestFolder()
    try await authority("ca")
    try await authority("other")
    try await leaf("server", extra: ["-addext", "subjectAltName=DNS:localhost"])
    try await leaf("client", extra: [])
  }

  private func authority(_ name: String) async throws {
    try await request(name, ["-x509", "-addext", "keyUsage=keyCertSign"])
  }

  private func leaf(_ name: String, extra: [String]) async throws {
    try await request(
      name,
      [
        "-x509", "-CA", ca, "-CAkey", "\(folder.path)/ca.key",
        "-addext", "basicConstraints=critical,CA:FALSE",
      ] + extra)
  }

  private func request(_ name: String, _ options: [String]) async throws {
    _ = try await ChildProcess.run(
      [
        "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=batchd test \(name)", "-keyout", "\(folder.path)/\(name).key",
        "-out", "\(folder.path)/\(name).pem",
      ] + options, in: folder.path)
  }
}
