import Testing

@testable import Redis

@Suite struct ReplyReaderTests {
  func read(_ text: String, limit: Int = 1 << 20, pieces: Int = .max) throws -> [RedisValue] {
    try read(Array(text.utf8), limit: limit, pieces: pieces)
  }

  func read(_ bytes: [UInt8], limit: Int = 1 << 20, pieces: Int = .max) throws -> [RedisValue] {
    let reader = ReplyReader(replyBytes: limit)
    var values: [RedisValue] = []
    var start = 0
    while start < bytes.count {
      let end = start + min(pieces, bytes.count - start)
      try bytes[start..<end].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws -> Void in
        try reader.read(bytes) { values.append($0) }
      }
      start = end
    }
    return values
  }

  @Test func everyKindOfReply() throws {
    let wire = "+OK\r\n:-7\r\n$-1\r\n*-1\r\n$0\r\n\r\n$4\r\na\r\nb\r\n*0\r\n-ERR no such thing\r\n"
    let expected: [RedisValue] = [
      .status("OK"), .integer(-7), .null, .null, .bytes([]), .bytes(Array("a\r\nb".utf8)),
      .array([]), .error(RedisError(code: .server, message: "ERR no such thing")),
    ]
    #expect(try read(wire) == expected)
    #expect(try read(wire, pieces: 1) == expected, "cut into single bytes")
  }

  @Test func bytesOfEveryValue() throws {
    let all = [UInt8](0...255)
    #expect(try read(Array("$256\r\n".utf8) + all + Array("\r\n".utf8)) == [.bytes(all)])
  }

  @Test func nestedArraysWithErrorsInside() throws {
    let wire = "*3\r\n*2\r\n:1\r\n*0\r\n-WRONGTYPE x\r\n*1\r\n*1\r\n$1\r\nz\r\n:5\r\n"
    let value = RedisValue.array([
      .array([.integer(1), .array([])]),
      .error(RedisError(code: .server, message: "WRONGTYPE x")),
      .array([.array([.bytes([0x7a])])]),
    ])
    #expect(try read(wire) == [value, .integer(5)])
    #expect(try read(wire, pieces: 3) == [value, .integer(5)])
  }

  @Test func depthIsBounded() throws {
    let deepest = String(repeating: "*1\r\n", count: 7)
    #expect(try read(deepest + ":1\r\n").count == 1)
    #expect(throws: RedisError.self) { try read(deepest + "*1\r\n:1\r\n") }
    let code = #expect(throws: RedisError.self) { try read(deepest + "*0\r\n") }?.code
    #expect(code == .protocolViolation)
  }

  @Test(arguments: [
    "$2000\r\n" + String(repeating: "x", count: 1_500),
    "*2000000000\r\n",
    "*4\r\n"
      + String(repeating: "$300\r\n" + String(repeating: "x", count: 300) + "\r\n", count: 4),
    "+" + String(repeating: "x", count: 1_500),
    String(repeating: "*40\r\n", count: 3),
  ])
  func sizeIsBounded(wire: String) {
    let error = #expect(throws: RedisError.self) { try read(wire, limit: 1_000) }
    #expect(error?.code == .replyTooLarge)
  }

  @Test func theBoundIsPerReply() throws {
    let one = "$600\r\n" + String(repeating: "x", count: 600) + "\r\n"
    #expect(try read(one + one + one, limit: 1_000, pieces: 100).count == 3)
  }

  @Test(arguments: [
    "HTTP/1.1 400 Bad Request\r\n", "$x\r\n", ":\r\n", ",1.5\r\n", "%1\r\n",
  ])
  func whatIsNotRESP2IsRefused(wire: String) {
    let error = #expect(throws: RedisError.self) { try read(wire + "+a\r\n+b\r\n+c\r\n") }
    #expect(error?.code == .protocolViolation)
  }

  @Test func commandsAreBinarySafe() throws {
    let command = try CommandFormatter.format(["SET", .bytes([0, 13, 10, 255]), .integer(-42)])
    defer { command.free() }
    let expected =
      Array("*3\r\n$3\r\nSET\r\n$4\r\n".utf8) + [0, 13, 10, 255]
      + Array("\r\n$3\r\n-42\r\n".utf8)
    #expect(Array(command.bytes) == expected)
    let empty = try CommandFormatter.format(["GET", ""])
    defer { empty.free() }
    #expect(Array(empty.bytes) == Array("*2\r\n$3\r\nGET\r\n$0\r\n\r\n".utf8))
    #expect(throws: RedisError.self) { try CommandFormatter.format([RedisArgument]()) }
  }
}
