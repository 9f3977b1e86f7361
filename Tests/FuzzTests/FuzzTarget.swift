#if canImport(Glibc)
  import Glibc
#endif

/// What reads bytes from outside. libFuzzer feeds each (`deploy/fuzz`); ordinary tests replay what it found.
enum FuzzTarget: String, CaseIterable {
  case replies, json, envelope, configuration, address
  case workizReply = "workiz-reply"
  case workizDocument = "workiz-document"
  case handlerOutput = "handler-output"

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Reads `input` as this target does, and checks what must hold of whatever it made of it.
  /// - Throws: `Failure` when something does not hold, or took more time than its size explains.
  func check(_ input: [UInt8]) throws {
    guard try Self.isSlow(input, body) else { return }
    // The first call may have loaded what stays: time zones, formatters.
    if try Self.isSlow(input, body) {
      throw Failure(description: "\(rawValue): too slow for \(input.count) bytes")
    }
  }

  private var body: ([UInt8]) throws -> Void {
    switch self {
    case .replies: checkReplies
    case .json: { _ = try checkJSON($0) }
    case .envelope: checkEnvelope
    case .configuration: checkConfiguration
    case .address: checkAddress
    case .workizReply: checkWorkizReply
    case .workizDocument: checkWorkizDocument
    case .handlerOutput: checkHandlerOutput
    }
  }

  /// Ten times what honest input takes in a debug build under a sanitizer, by this thread's own clock: the machine
  /// may be busy with others.
  private static func isSlow(_ input: [UInt8], _ body: ([UInt8]) throws -> Void) throws -> Bool {
    let start = threadMicroseconds
    try body(input)
    return threadMicroseconds - start > 200_000 + 50 * input.count
  }

  private static var threadMicroseconds: Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
  }
}

/// Fails the check unless the condition holds.
func demand(_ holds: Bool, _ what: @autoclosure () -> String) throws {
  guard holds else { throw FuzzTarget.Failure(description: what()) }
}
