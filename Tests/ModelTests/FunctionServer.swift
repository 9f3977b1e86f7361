import Logging
import Redis
import TestSupport

/// A private Redis with the function library as it stands in the sources, or another text of it.
struct FunctionServer {
  let connection: RedisConnection
  let server: TestRedis

  init(library: String? = nil) async throws {
    server = try await TestRedis()
    let client = RedisClient(
      try RedisConfiguration(url: server.url), logger: Logger(label: "ModelTests"))
    connection = try await client.connect()
    _ = try await connection.call([
      "FUNCTION", "LOAD", .text(try library ?? FunctionSources().library),
    ])
  }
}
