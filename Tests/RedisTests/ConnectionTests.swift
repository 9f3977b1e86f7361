import Redis
import TestSupport
import Testing

@Suite struct ConnectionTests {
  @Test func valuesOfEveryKindTravel() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      let all = [UInt8](0...255)
      #expect(try await client.call(["SET", "k\0", .bytes(all)]) == .status("OK"))
      #expect(try await client.call(["GET", "k\0"]).bytes == all)
      #expect(try await client.call(["GET", "none"]).isNull)
      #expect(try await client.call(["INCRBY", "n", 5]).integer == 5)
      #expect(try await client.call(["GET", "n"]).integer == 5)
      #expect(
        try await client.call(["EVAL", "return {1,{2,'x'},false}", 0])
          == .array([.integer(1), .array([.integer(2), .bytes([0x78])]), .null]))
      let big = [UInt8](repeating: 7, count: 5 << 20)
      _ = try await client.call(["SET", "big", .bytes(big)])
      #expect(try await client.call(["GET", "big"]).bytes == big)
      let error = await failure { try await client.call(["INCR", "k\0"]) }
      #expect(error?.serverCode == "ERR")
      #expect(
        await failure { try await client.call(["LPUSH", "n", "x"]) }?.serverCode == "WRONGTYPE")
      #expect(await failure { try await client.call([]) }?.code == .invalidCommand)
    }
  }

  @Test func twoHundredTasksShareOneConnection() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<200 {
          group.addTask {
            for call in 0..<50 {
              let word = "\(task):\(call)"
              let answer = try await client.call(["ECHO", .text(word)]).text
              #expect(answer == word)
            }
          }
        }
        try await group.waitForAll()
      }
      let clients = try await redis.cli("CLIENT", "LIST", "TYPE", "normal")
      #expect(clients.split(separator: "\n").filter { $0.contains("name=batchd") }.count == 1)
    }
  }

  @Test func cancelledCallsReturnAtOnceAndLaterRepliesMatch() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url, timeoutMilliseconds: 60_000) { client in
      _ = try await client.call(["PING"])
      redis.suspend()
      let tasks = (0..<100).map { number in
        Task { try await client.call(["ECHO", .integer(number)]) }
      }
      for number in stride(from: 0, to: 100, by: 2) { tasks[number].cancel() }
      for number in stride(from: 0, to: 100, by: 2) {
        // Redis is suspended: nothing but the cancellation can end these.
        await #expect(throws: CancellationError.self) { try await tasks[number].value }
      }
      redis.resume()
      for number in stride(from: 1, to: 100, by: 2) {
        #expect(try await tasks[number].value.integer == number)
      }
      #expect(try await client.call(["ECHO", "after"]).text == "after")
    }
  }

  @Test func cancellationRacesLeaveNothingBehind() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      for round in 0..<300 {
        let task = Task { try await client.call(["ECHO", .integer(round)]).integer }
        if round % 3 == 0 { await Task.yield() }
        task.cancel()
        if let answer = try? await task.value { #expect(answer == round) }
        let next = try await client.call(["ECHO", .integer(-round)]).integer
        #expect(next == -round)
      }
    }
  }

  @Test func aDeadlineEndsTheCallNotTheConnection() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      let id = try await client.call(["CLIENT", "ID"]).integer
      redis.suspend()
      let error = await failure { try await client.call(["ECHO", "x"], timeoutMilliseconds: 50) }
      #expect(error?.code == .deadlineExceeded)
      redis.resume()
      #expect(try await client.call(["CLIENT", "ID"]).integer == id)
    }
  }

  @Test func aReplyTooLargeEndsTheConnectionOnly() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url, replyBytes: 1 << 20) { client in
      _ = try await client.call(["SETRANGE", "big", .integer(2 << 20), "x"])
      #expect(await failure { try await client.call(["GET", "big"]) }?.code == .replyTooLarge)
      #expect(try await client.call(["STRLEN", "big"]).integer == (2 << 20) + 1)
    }
  }

  @Test func waitingCallsAreBounded() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url, waitingCalls: 3) { client in
      _ = try await client.call(["PING"])
      redis.suspend()
      let codes = await withTaskGroup(of: RedisError.Code?.self) { group in
        for _ in 0..<5 {
          group.addTask {
            await failure { try await client.call(["PING"], timeoutMilliseconds: 300) }?.code
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(codes.filter { $0 == .tooManyCalls }.count == 2)
      #expect(codes.filter { $0 == .deadlineExceeded }.count == 3)
      redis.resume()
    }
  }

  @Test func manyCommandsInOneWrite() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      let connection = try await client.connect()
      let replies = try await connection.callAll([
        ["SET", "a", 1], ["LPUSH", "a", 2], ["GET", "a"],
      ])
      #expect(replies[0] == .status("OK") && replies[2].integer == 1)
      guard case .error(let error) = replies[1] else {
        Issue.record("\(replies)")
        return
      }
      #expect(error.serverCode == "WRONGTYPE")
      // The moved element never travels: only the PONG does.
      _ = try await connection.call(["LPUSH", "list", "secret element"])
      let pong = try await connection.callAll(
        [
          ["CLIENT", "REPLY", "SKIP"], ["BLMOVE", "list", "intake", "RIGHT", "LEFT", 0], ["PING"],
        ],
        replies: 1)
      #expect(pong == [.status("PONG")])
      #expect(try await connection.call(["LLEN", "intake"]).integer == 1)
      #expect(try await connection.callAll([]) == [])
      await connection.close()
      #expect(await failure { try await connection.call(["PING"]) }?.code == .closed)
    }
  }

  @Test func aBlockedCallNoticesASilentServer() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      let connection = try await client.connect()
      _ = try await connection.call(["PING"])
      async let blocked = failure {
        try await connection.call(
          ["BLMOVE", "none", "intake", "RIGHT", "LEFT", "3"], timeoutMilliseconds: 3_600)
      }
      await eventually("the call is blocked") {
        try await redis.cli("INFO", "clients").contains("blocked_clients:1")
      }
      redis.suspend()
      let clock = ContinuousClock()
      let start = clock.now
      #expect(await blocked?.code == .deadlineExceeded)
      #expect(clock.now - start < .seconds(10))
      #expect(await failure { try await connection.call(["PING"]) }?.code == .notConnected)
      redis.resume()
    }
  }

  @Test func blockingTimesOutWithNull() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url) { client in
      let connection = try await client.connect()
      #expect(
        try await connection.call(
          ["BLMOVE", "none", "intake", "RIGHT", "LEFT", "0.1"], timeoutMilliseconds: 10_000
        ).isNull)
      await connection.close()
    }
  }

  @Test func aDatabaseIsSelected() async throws {
    let redis = try await TestRedis()
    try await withClient(redis.url + "?db=3") { client in
      _ = try await client.call(["SET", "k", "v"])
      #expect(try await redis.cli("-n", "3", "GET", "k") == "v")
    }
    let client = RedisClient(try RedisConfiguration(url: redis.url + "?db=99"), logger: quiet)
    let error = await failure { try await client.connect() }
    #expect(error?.code == .notConnected && error?.message.contains("database number") == true)
  }
}
