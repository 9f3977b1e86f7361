import Redis
import TestSupport
import Testing

@Suite struct RedisFunctionLibraryTests {
  func library(_ revision: Int, extra: String = "") -> RedisFunctionLibrary {
    RedisFunctionLibrary(name: "batchd", revision: revision, code: code(revision, extra: extra))
  }

  func code(_ revision: Int, name: String = "batchd", extra: String = "") -> String {
    """
    #!lua name=\(name)
    redis.register_function{function_name='\(name)_revision',
      callback=function() return \(revision) end, flags={'no-writes'}}
    \(extra)
    """
  }

  @Test func theHigherRevisionWins() async throws {
    let redis = try await TestRedis()
    let client = RedisClient(try RedisConfiguration(url: redis.url), logger: quiet)
    let connection = try await client.connect()
    let missing = await failure { try await connection.call(["FCALL", "batchd_revision", 0]) }
    #expect(missing.map(RedisFunctionLibrary.isMissing) == true)
    #expect(try await library(2).load(on: connection) == 2)
    #expect(try await library(3).load(on: connection) == 3)
    #expect(try await library(2).load(on: connection) == 3)
    #expect(try await connection.call(["FCALL", "batchd_revision", 0]).integer == 3)
    _ = try await redis.cli("FUNCTION", "FLUSH")
    #expect(try await library(2).load(on: connection) == 2)
    await connection.close()
  }

  @Test func workersThatStartTogetherAgree() async throws {
    let redis = try await TestRedis()
    let client = RedisClient(try RedisConfiguration(url: redis.url), logger: quiet)
    for _ in 0..<10 {
      _ = try await redis.cli("FUNCTION", "FLUSH")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<8 {
          group.addTask {
            let connection = try await client.connect()
            let revision = 1 + number % 2
            #expect(try await library(revision).load(on: connection) >= revision)
            await connection.close()
          }
        }
        try await group.waitForAll()
      }
      #expect(try await redis.cli("FCALL", "batchd_revision", "0") == "2")
    }
  }

  @Test func refusalsSayWhatToDo() async throws {
    let redis = try await TestRedis()
    let client = RedisClient(try RedisConfiguration(url: redis.url), logger: quiet)
    let connection = try await client.connect()
    _ = try await connection.call([
      "FUNCTION", "LOAD",
      .text(
        "#!lua name=other\nredis.register_function('batchd_admit', function() return 1 end)"),
    ])
    let admit = "redis.register_function('batchd_admit', function() return 1 end)"
    let taken = await failure { try await library(1, extra: admit).load(on: connection) }
    #expect(taken?.message.contains("batchd_admit") == true)
    #expect(taken?.message.contains("FUNCTION LIST") == true, "\(String(describing: taken))")
    let broken = await failure { try await library(1, extra: "syntax error").load(on: connection) }
    #expect(broken?.code == .server)

    _ = try await connection.call([
      "FUNCTION", "LOAD",
      .text("#!lua name=batchd\nredis.register_function('foreign', function() return 1 end)"),
    ])
    let foreign = await failure { try await library(1).load(on: connection) }
    #expect(foreign?.message.contains("FUNCTION DELETE batchd") == true)
    await connection.close()
  }

  @Test func anACLWithoutTheRightSaysWhichIsMissing() async throws {
    let redis = try await TestRedis()
    _ = try await redis.cli("ACL", "SETUSER", "bob", "on", ">x", "~*", "+ping", "+fcall")
    let url = "redis+unix://bob:x@\(redis.socketPath)"
    let client = RedisClient(try RedisConfiguration(url: url), logger: quiet)
    let connection = try await client.connect()
    let error = await failure { try await library(1).load(on: connection) }
    #expect(error?.serverCode == "NOPERM")
    #expect(error?.message.contains("+function|load") == true)
    await connection.close()
  }
}
