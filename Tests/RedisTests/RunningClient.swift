import Logging
import Redis
import TestSupport

/// Runs a client for as long as the body needs it.
func withClient<Result>(
  _ url: String, timeoutMilliseconds: Int = 5_000, replyBytes: Int = 64 << 20,
  waitingCalls: Int = 100_000, slotKey: String? = nil,
  prepare: @escaping @Sendable (RedisConnection) async throws -> Void = { _ in },
  _ body: (RedisClient) async throws -> Result
) async throws -> Result {
  var configuration = try RedisConfiguration(url: url)
  configuration.callTimeoutMilliseconds = timeoutMilliseconds
  configuration.replyBytes = replyBytes
  configuration.waitingCalls = waitingCalls
  configuration.slotKey = slotKey
  let client = RedisClient(configuration, logger: quiet, prepare: prepare)
  return try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await client.run() }
    let result = try await body(client)
    group.cancelAll()
    try await group.waitForAll()
    return result
  }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// The error of a call that has to fail.
func failure(_ body: () async throws -> some Any) async -> RedisError? {
  do {
    _ = try await body()
    return nil
  } catch { return error as? RedisError }
}
