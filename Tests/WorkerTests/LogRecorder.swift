import Logging
import Synchronization

/// Keeps what a worker logs.
final class LogRecorder: Sendable {
  private let kept = Mutex<[String]>([])

  var lines: [String] { kept.withLock { $0 } }

  func contains(_ text: String) -> Bool { lines.contains { $0.contains(text) } }

  var logger: Logger {
    Logger(label: "test") { _ in Handler(recorder: self) }
  }

  private struct Handler: LogHandler {
    let recorder: LogRecorder
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let line = "\(event.level) \(event.message) \(event.metadata ?? [:])"
      recorder.kept.withLock { $0.append(line) }
    }
  }
}
