internal import NIOCore

/// Finds the primary of a service by asking its Sentinels in turn, anew for every connection: nothing
/// is remembered that a failover could make wrong.
struct Sentinels {
  private let hosts: [RedisConfiguration.Host]
  private let service: String
  private let configuration: RedisConfiguration

  init(
    hosts: [RedisConfiguration.Host], service: String, _ configuration: RedisConfiguration
  ) {
    self.hosts = hosts
    self.service = service
    self.configuration = configuration
  }

  /// Connects to the first named address at which there is a primary. A Sentinel that does not answer, or
  /// whose address is stale (a replica by now, or nobody), is passed over for the next.
  /// Throws `notConnected` with what each of them said.
  func connect(silence: TimeAmount) async throws -> RedisConnection {
    var tried: Set<RedisConfiguration.Host> = []
    var complaints: [String] = []
    for host in hosts {
      do {
        let primary = try await ask(host)
        guard tried.insert(primary).inserted else { continue }
        return try await ConnectionOpener.open(
          configuration(at: primary), as: .primary, silence: silence)
      } catch let error as RedisError where error.code == .notConnected || error.code == .server {
        if !complaints.contains(error.message) { complaints.append(error.message) }
      }
    }
    throw RedisError(code: .notConnected, message: complaints.joined(separator: "; "))
  }

  /// Returns when there is another primary than the one of `connection`, which may live on and take writes that
  /// will be lost: Sentinels make it a replica only ten seconds after an ordered failover, or when they reach it again.
  func untilReplaced(_ connection: RedisConnection) async {
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.watchPause)
      if await isReplaced(connection.endpoint) { return }
    }
  }

  private static let watchPause = Duration.seconds(1)

  /// Asked in the order of `connect`, so that it does not leave what that would choose again.
  private func isReplaced(_ current: RedisConfiguration.Endpoint) async -> Bool {
    for host in hosts {
      guard let primary = try? await ask(host) else { continue }
      let named = configuration(at: primary)
      if named.endpoint == current { return false }
      if let other = try? await ConnectionOpener.open(
        named, as: .primary, silence: .nanoseconds(0))
      {
        await other.close()
        return true
      }
    }
    return false
  }

  /// The address of the primary as one Sentinel knows it.
  private func ask(_ host: RedisConfiguration.Host) async throws -> RedisConfiguration.Host {
    let connection = try await ConnectionOpener.open(
      sentinelConfiguration(at: host), as: .sentinel, silence: .nanoseconds(0))
    let answer: RedisValue
    var known: [String] = []
    do {
      answer = try await connection.call(
        ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", .text(service)])
      if answer == .null {
        known = try await connection.call(["ROLE"]).array?.last?.array?.compactMap(\.text) ?? []
      }
    } catch {
      await connection.close()
      throw error
    }
    await connection.close()
    if let parts = answer.array, parts.count == 2, let name = parts[0].text,
      let port = parts[1].text.flatMap({ Int($0) })
    {
      return RedisConfiguration.Host(name: name, port: port)
    }
    throw RedisError(
      code: .notConnected,
      message: "Sentinel \(host) knows no service \"\(service)\" but "
        + "\(known.isEmpty ? "none at all" : known.sorted().joined(separator: ", ")); "
        + "correct the name in the URL, or have the Sentinel monitor it")
  }

  private func configuration(at host: RedisConfiguration.Host) -> RedisConfiguration {
    var copy = configuration
    copy.endpoint = .tcp(
      host: host.name, port: host.port, tls: configuration.endpoint.usesTLS)
    return copy
  }

  /// A Sentinel has users and passwords of its own, and no databases. Each gets a part of the time only, or one
  /// host that vanished would keep the others from being asked.
  private func sentinelConfiguration(at host: RedisConfiguration.Host) -> RedisConfiguration {
    var copy = configuration(at: host)
    copy.user = configuration.sentinelUser
    copy.password = configuration.sentinelPassword
    copy.database = 0
    copy.connectTimeoutMilliseconds = max(100, configuration.connectTimeoutMilliseconds / 3)
    copy.callTimeoutMilliseconds = copy.connectTimeoutMilliseconds
    return copy
  }
}
