internal import CHiredis

/// One command in RESP, in memory that `free` gives back: the caller copies the bytes into
/// the connection's buffer, so an owner with reference counts would only cost.
struct FormattedCommand {
  let bytes: UnsafeMutableRawBufferPointer

  func free() { redisFreeCommand(bytes.baseAddress?.assumingMemoryBound(to: CChar.self)) }
}

/// Writes commands in RESP with hiredis's formatter.
enum CommandFormatter {
  /// Formats one command. Throws `invalidCommand` for one that is empty or too large: Redis answers
  /// an empty one with nothing at all, which would give its place to the next reply.
  static func format(_ arguments: [RedisArgument]) throws -> FormattedCommand {
    guard !arguments.isEmpty else {
      throw RedisError(code: .invalidCommand, message: "a command needs at least its name")
    }
    let size = arguments.reduce(0) { $0 + $1.size }
    guard size <= RedisLimits.commandBytes else {
      throw RedisError(
        code: .invalidCommand,
        message: "a command of \(size) bytes exceeds the \(RedisLimits.commandBytes) Redis accepts")
    }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: max(size, 1)) { text in
      withUnsafeTemporaryAllocation(
        of: UnsafePointer<CChar>?.self, capacity: arguments.count
      ) { pointers in
        withUnsafeTemporaryAllocation(of: Int.self, capacity: arguments.count) { sizes in
          var end = 0
          for (index, argument) in arguments.enumerated() {
            let count = argument.copy(to: UnsafeMutableRawBufferPointer(text), at: end)
            pointers.initializeElement(at: index, to: UnsafePointer(text.baseAddress! + end))
            sizes.initializeElement(at: index, to: count)
            end += count
          }
          return format(pointers.baseAddress!, sizes.baseAddress!, count: arguments.count)
        }
      }
    }
  }

  /// Formats all commands or none.
  static func format(_ commands: [[RedisArgument]]) throws -> [FormattedCommand] {
    var formatted: [FormattedCommand] = []
    do {
      for command in commands { formatted.append(try format(command)) }
      return formatted
    } catch {
      for command in formatted { command.free() }
      throw error
    }
  }

  private static func format(
    _ pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>, _ sizes: UnsafeMutablePointer<Int>,
    count: Int
  ) -> FormattedCommand {
    var target: UnsafeMutablePointer<CChar>?
    // `int` in hiredis 0.14, `long long` in 1.x.
    let size = Int(redisFormatCommandArgv(&target, numericCast(count), pointers, sizes))
    precondition(size > 0, "out of memory while formatting a command")
    return FormattedCommand(bytes: UnsafeMutableRawBufferPointer(start: target, count: size))
  }
}

extension RedisArgument {
  fileprivate var size: Int {
    switch self {
    case .text(let text): text.utf8.count
    case .bytes(let bytes): bytes.count
    case .integer(let value): String(value).utf8.count
    }
  }

  fileprivate func copy(to target: UnsafeMutableRawBufferPointer, at start: Int) -> Int {
    let rest = UnsafeMutableRawBufferPointer(rebasing: target[start...])
    switch self {
    case .text(let text):
      rest.copyBytes(from: text.utf8)
      return text.utf8.count
    case .bytes(let bytes):
      rest.copyBytes(from: bytes)
      return bytes.count
    case .integer(let value):
      let text = String(value)
      rest.copyBytes(from: text.utf8)
      return text.utf8.count
    }
  }
}
