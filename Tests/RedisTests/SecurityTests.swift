import Redis
import TestSupport
import Testing

@Suite struct SecurityTests {
  @Test func tlsVerifiesTheServerAndShowsAClientCertificate() async throws {
    let certificates = try await TestCertificates()
    let redis = try await TestRedis(tls: certificates)
    func attempt(
      host: String = "localhost", ca: String?, certificate: String? = nil, key: String? = nil
    ) async throws -> RedisValue {
      var configuration = try RedisConfiguration(url: "rediss://\(host):\(redis.tlsPort)")
      configuration.caFile = ca
      configuration.certificateFile = certificate
      configuration.keyFile = key
      let connection = try await RedisClient(configuration, logger: quiet).connect()
      let value = try await connection.call(["ECHO", "over TLS"])
      await connection.close()
      return value
    }
    let (ca, client, key) = (certificates.ca, certificates.client, certificates.clientKey)
    #expect(try await attempt(ca: ca, certificate: client, key: key).text == "over TLS")

    let wrongCA = await failure {
      try await attempt(ca: certificates.otherCA, certificate: client, key: key)
    }
    #expect(wrongCA?.code == .notConnected)
    #expect(wrongCA?.message.contains("not signed by a CA we trust") == true, "\(wrongCA!)")
    let wrongHost = await failure {
      try await attempt(host: "127.0.0.1", ca: ca, certificate: client, key: key)
    }
    #expect(wrongHost?.message.contains("for another host") == true, "\(wrongHost!)")
    let system = await failure { try await attempt(ca: nil, certificate: client, key: key) }
    #expect(system?.code == .notConnected)
    let anonymous = await failure { try await attempt(ca: ca) }
    #expect(anonymous?.code == .notConnected)
    #expect(anonymous?.message.contains("client certificate") == true, "\(anonymous!)")

    let half = await failure { try await attempt(ca: ca, certificate: client) }
    #expect(half?.code == .configuration)
    let missing = await failure { try await attempt(ca: "/nonexistent.pem") }
    #expect(
      missing?.code == .configuration && missing?.message.contains("/nonexistent.pem") == true)
  }

  @Test func runRefusesFilesThatCannotBeUsed() async throws {
    var configuration = try RedisConfiguration(url: "rediss://localhost:1")
    configuration.caFile = "/nonexistent.pem"
    let client = RedisClient(configuration, logger: quiet)
    #expect(await failure { try await client.run() }?.code == .configuration)
    var plain = try RedisConfiguration(url: "redis://localhost:1")
    plain.caFile = "/nonexistent.pem"
    let other = RedisClient(plain, logger: quiet)
    #expect(await failure { try await other.run() }?.code == .configuration)
  }

  @Test func speakingTLSToAPlainPortSaysSo() async throws {
    let port = try freePort()
    let redis = try await TestRedis(arguments: ["--port", "\(port)", "--bind", "127.0.0.1"])
    let configuration = try RedisConfiguration(url: "rediss://localhost:\(port)")
    let error = await failure {
      try await RedisClient(configuration, logger: quiet).connect()
    }
    #expect(error?.code == .notConnected)
    let plain = try RedisConfiguration(url: "redis://localhost:\(port)")
    let connection = try await RedisClient(plain, logger: quiet).connect()
    #expect(try await connection.call(["PING"]).text == "PONG", "TCP with keepalive options")
    await connection.close()
    redis.kill()
  }

  @Test func aclUsersAndPasswords() async throws {
    let redis = try await TestRedis()
    _ = try await redis.cli(
      "ACL", "SETUSER", "alice", "on", ">sec:ret@1", "~a:*", "+set", "+get")
    func connect(_ owner: String) async throws -> RedisConnection {
      let url = "redis+unix://\(owner)\(redis.socketPath)"
      return try await RedisClient(try RedisConfiguration(url: url), logger: quiet).connect()
    }
    let alice = try await connect("alice:sec%3Aret%401@")
    #expect(try await alice.call(["SET", "a:1", "x"]).text == "OK")
    #expect(await failure { try await alice.call(["SET", "b", "x"]) }?.serverCode == "NOPERM")
    await alice.close()

    let wrong = await failure { try await connect("alice:wrongsecret@") }
    #expect(wrong?.message.contains("WRONGPASS") == true)
    #expect(wrong?.message.contains("check user and password") == true)
    #expect(wrong?.message.contains("wrongsecret") == false)
    _ = try await redis.cli("CONFIG", "SET", "requirepass", "other")
    let none = await failure { try await connect("") }
    #expect(none?.message.contains("NOAUTH") == true)
    #expect(none?.message.contains("into the URL") == true)
    let good = try await connect(":other@")
    await good.close()
  }

  @Test func anEchoedPasswordIsHidden() async throws {
    // "unknown command" repeats the arguments.
    let redis = try await TestRedis(arguments: ["--rename-command", "AUTH", ""])
    let url = "redis+unix://:topsecret@\(redis.socketPath)"
    let error = await failure {
      try await RedisClient(try RedisConfiguration(url: url), logger: quiet).connect()
    }
    #expect(error?.message.contains("unknown command") == true, "\(String(describing: error))")
    #expect(error?.message.contains("topsecret") == false)
  }
}
