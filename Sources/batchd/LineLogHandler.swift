internal import ArgumentParser
internal import Foundation
internal import Logging
internal import Pipeline

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// How a worker writes its log.
enum LogFormat: String, CaseIterable, ExpressibleByArgument {
  case text, json
}

/// One line on standard error for each event, whatever is in it.
struct LineLogHandler: LogHandler {
  /// Who reads the lines.
  enum Reader: Equatable {
    /// systemd's journal: it takes the priority from the beginning of a line and knows the time.
    case journal
    case terminal(hasColor: Bool)
    case file

    /// Who reads standard error.
    static func current(
      environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> Reader {
      // systemd.exec(5): the device and inode of the stream, for standard error may lead elsewhere.
      var status = stat()
      if fstat(STDERR_FILENO, &status) == 0,
        environment["JOURNAL_STREAM"] == "\(status.st_dev):\(status.st_ino)"
      {
        return .journal
      }
      guard isatty(STDERR_FILENO) == 1 else { return .file }
      return .terminal(
        hasColor: environment["TERM"] != "dumb" && (environment["NO_COLOR"] ?? "").isEmpty)
    }
  }

  /// Bytes of one field, for journald would cut a longer line in two.
  private static let fieldBytes = 4_096

  let format: LogFormat
  let reader: Reader
  var logLevel = Logger.Level.info
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  init(_ format: LogFormat, for reader: Reader) {
    self.format = format
    self.reader = reader
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
    Self.write(Array((line(event, at: now) + "\n").utf8), to: STDERR_FILENO)
  }

  /// Waits for a slow reader; what nobody can read is lost.
  static func write(_ line: [UInt8], to descriptor: Int32) {
    var rest = line[...]
    while !rest.isEmpty {
      // In one write, so that lines of several processes on one stream do not mix.
      let count = rest.withUnsafeBytes { posixWrite(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == EAGAIN {
        // Another process on the same stream may have made it non-blocking.
        var output = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&output, 1, -1)
        continue
      }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// The line without its end.
  func line(_ event: LogEvent, at time: Timestamp) -> String {
    var fields = metadata
    if let metadataProvider { fields.merge(metadataProvider.get()) { $1 } }
    if let own = event.metadata { fields.merge(own) { $1 } }
    if let error = event.error { fields["error"] = "\(error)" }
    let sorted = fields.sorted { $0.key < $1.key }
    let priority = reader == .journal ? "<\(event.level.priority)>" : ""
    switch format {
    case .json: return priority + Self.json(event, sorted, time)
    case .text: return priority + text(event, sorted, time)
    }
  }

  private func text(
    _ event: LogEvent, _ fields: [(key: String, value: Logger.MetadataValue)], _ time: Timestamp
  ) -> String {
    let message = Self.escaped("\(event.message)")
    let tail = fields.map { key, value in
      let text = Self.escaped("\(value)")
      let isPlain = !text.isEmpty && !text.contains { " =\"\\".contains($0) }
      return " \(Self.escaped(key))=" + (isPlain ? text : "\"\(text)\"")
    }.joined()
    switch reader {
    case .journal: return message + tail
    case .file: return "\(time) \(event.level) \(message)\(tail)"
    case .terminal(let hasColor):
      let clock = Wording.clock("\(time)")
      guard hasColor else { return "\(clock) \(event.level) \(message)\(tail)" }
      let color = event.level.color
      return "\u{1B}[2m\(clock)\u{1B}[0m \u{1B}[\(color)m\(event.level)\u{1B}[0m \(message)"
        + "\u{1B}[2m\(tail)\u{1B}[0m"
    }
  }

  private static func json(
    _ event: LogEvent, _ fields: [(key: String, value: Logger.MetadataValue)], _ time: Timestamp
  ) -> String {
    let own = ["time", "level", "message"]
    let head = zip(own, ["\(time)", "\(event.level)", "\(event.message)"]).map {
      "\"\($0)\":\"\(escaped($1))\""
    }
    let tail = fields.map { key, value in
      "\"\(own.contains(key) ? "_" : "")\(escaped(key))\":\(json(value))"
    }
    return "{\((head + tail).joined(separator: ","))}"
  }

  private static func json(_ value: Logger.MetadataValue) -> String {
    switch value {
    case .stringConvertible(let value) where value is any BinaryInteger || value is Bool:
      "\(value)"
    case .string, .stringConvertible: "\"\(escaped("\(value)"))\""
    case .array(let values): "[\(values.map(json).joined(separator: ","))]"
    case .dictionary(let fields):
      "{\(fields.sorted { $0.key < $1.key }.map { "\"\(escaped($0.key))\":\(json($0.value))" }.joined(separator: ","))}"
    }
  }

  /// As JSON writes it between quotation marks; control characters, and those that turn the direction of the text, by
  /// their number. Cut where it is too long.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      if result.utf8.count >= fieldBytes { return result + "…" }
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      default:
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator:
          for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
          }
        default: result.unicodeScalars.append(scalar)
        }
      }
    }
    return result
  }
}

extension Logger.Level {
  /// Of syslog(3), as sd-daemon(3) has it.
  fileprivate var priority: Int {
    switch self {
    case .critical: 2
    case .error: 3
    case .warning: 4
    case .notice: 5
    case .info: 6
    case .debug, .trace: 7
    }
  }

  fileprivate var color: String {
    switch self {
    case .critical, .error: StyledLine.Style.red.rawValue
    case .warning: StyledLine.Style.yellow.rawValue
    case .notice: StyledLine.Style.bold.rawValue
    case .info, .debug, .trace: StyledLine.Style.dim.rawValue
    }
  }
}
