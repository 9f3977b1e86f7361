import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

@Suite struct ReconnectTests {
  @Test func callsWaitThroughAKillAndRestart() async throws {
    let redis = try await TestRedis(arguments: ["--appendonly", "yes", "--appendfsync", "always"])
    let prepared = Mutex(0)
    let prepare: @Sendable (RedisConnection) async throws -> Void = { _ in
      prepared.withLock { $0 += 1 }
    }
    try await withClient(redis.url, prepare: prepare) { client in
      _ = try await client.call(["SET", "k", "v"])
      #expect(client.isConnected && client.lastFailure == nil)
      redis.kill()
      await eventually("the loss is noticed") { !client.isConnected }
      async let waiting = client.call(["GET", "k"], timeoutMilliseconds: 30_000)
      await eventually("the status says why") {
        client.lastFailure?.contains(redis.socketPath) == true
      }
      try await redis.start()
      #expect(try await waiting.text == "v")
      #expect(client.isConnected && client.lastFailure == nil)
      #expect(prepared.withLock { $0 } == 2)
    }
  }

  @Test func aCallInFlightIsLostAndOthersGoOn() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      _ = try await client.call(["PING"])
      async let lost = failure {
        try await client.call(["BLPOP", "none", 0], timeoutMilliseconds: 30_000)
      }
      await eventually("Redis has the command") {
        try await redis.cli("INFO", "clients").contains("blocked_clients:1")
      }
      redis.kill()
      #expect(await lost?.code == .connectionLost)
      try await redis.start()
      #expect(try await client.call(["PING"], timeoutMilliseconds: 30_000).text == "PONG")
    }
  }

  @Test func aSilentServerIsGivenUp() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url, timeoutMilliseconds: 300) { client in
      _ = try await client.call(["PING"], timeoutMilliseconds: 30_000)
      redis.suspend()
      #expect(await failure { try await client.call(["PING"]) }?.code == .deadlineExceeded)
      await eventually("the connection is given up") { !client.isConnected }
      redis.resume()
      #expect(try await client.call(["PING"], timeoutMilliseconds: 30_000).text == "PONG")
    }
  }

  @Test func withoutRedisACallEndsAtItsDeadlineAndCancelsAtOnce() async throws {
    let folder = try TestFolder()
    let url = "unix://\(folder.path)/none.sock"
    try await withClient(url) { client in
      await eventually("the status says why") {
        client.lastFailure?.contains(folder.path) == true
      }
      let error = await failure { try await client.call(["PING"], timeoutMilliseconds: 100) }
      #expect(error?.code == .notConnected)
      #expect(error?.message.contains(folder.path) == true, "it says where: \(error!)")
      let task = Task { try await client.call(["PING"], timeoutMilliseconds: 60_000) }
      task.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      #expect(await failure { try await client.connect() }?.code == .notConnected)
    }
  }

  @Test func afterRunEverythingIsClosed() async throws {
    let redis = try await TestRedis()
    let client = try await withClient(redis.url) { client in
      _ = try await client.call(["PING"])
      return client
    }
    #expect(!client.isConnected)
    #expect(await failure { try await client.call(["PING"]) }?.code == .closed)
    #expect(await failure { try await client.connect() }?.code == .closed)
    await eventually("no connection stays open") {
      try await !redis.cli("CLIENT", "LIST").contains("name=batchd")
    }
  }

  @Test func aDroppedConnectionIsClosed() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      func open() async throws -> Int? {
        try await client.connect().call(["CLIENT", "ID"]).integer
      }
      let id = try #require(try await open())
      await eventually("a connection without an owner is closed") {
        try await !redis.cli("CLIENT", "LIST").contains("id=\(id) ")
      }
    }
  }

  @Test func aFailingPreparationIsTriedAgain() async throws {
    let redis = try await TestRedis()
    let tries = Mutex(0)
    let prepare: @Sendable (RedisConnection) async throws -> Void = { _ in
      let number = tries.withLock { tries in
        tries += 1
        return tries
      }
      if number < 3 { throw RedisError(code: .server, message: "ERR not yet") }
    }
    try await withClient(redis.url, prepare: prepare) { client in
      let answer = try await client.call(["PING"], timeoutMilliseconds: 30_000).text
      #expect(answer == "PONG")
      #expect(tries.withLock { $0 } == 3)
    }
  }
}
