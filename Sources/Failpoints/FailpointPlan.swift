#if FAILPOINTS
  internal import Glibc
  internal import Synchronization

  /// What a test asks for, by environment variables:
  ///
  /// - `BATCHD_FAILPOINT`: `note`, `kill`, `stop`, `drop` (lose the reply and the connection), or `refuse MS TEXT`
  ///   (answer with this Redis error, for so many milliseconds from the first time on).
  /// - `BATCHD_FAILPOINT_AT`: the points, separated by commas; without it every point.
  /// - `BATCHD_FAILPOINT_TRACE`: a file that gets a line per fault, before it happens. A point that stands there is not
  ///   due any more, so that the next life of a killed process dies at another one.
  final class FailpointPlan: Sendable {
    enum Action: Equatable {
      case note, kill, stop, drop
      case refuse(milliseconds: Int, text: String)

      init?(_ text: String) {
        let words = text.split(separator: " ", maxSplits: 2).map(String.init)
        switch words.first {
        case "note": self = .note
        case "kill": self = .kill
        case "stop": self = .stop
        case "drop": self = .drop
        case "refuse":
          guard words.count == 3, let milliseconds = Int(words[1]) else { return nil }
          self = .refuse(milliseconds: milliseconds, text: words[2])
        default: return nil
        }
      }
    }

    private struct State {
      var passed: Set<String>
      var refusedSince: [String: ContinuousClock.Instant] = [:]
      var lost: [String: String] = [:]
    }

    let action: Action
    private let points: Set<String>?
    private let trace: Int32
    private let state: Mutex<State>

    static let ofEnvironment: FailpointPlan? = {
      guard let text = variable("BATCHD_FAILPOINT") else { return nil }
      guard let action = Action(text), let path = variable("BATCHD_FAILPOINT_TRACE") else {
        fatalError("BATCHD_FAILPOINT is none that is known, or there is no BATCHD_FAILPOINT_TRACE")
      }
      return FailpointPlan(action, at: variable("BATCHD_FAILPOINT_AT"), trace: path)
    }()

    private init(_ action: Action, at points: String?, trace path: String) {
      self.action = action
      self.points = points.map { Set($0.split(separator: ",").map(String.init)) }
      trace = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
      guard trace >= 0 else { fatalError("cannot open the trace \(path)") }
      let lines = Self.text(of: trace).split(separator: "\n")
      state = Mutex(State(passed: Set(lines.map { String($0.prefix { $0 != "\t" }) })))
    }

    /// Whether the process itself is what is to fail.
    var isProcessFault: Bool {
      switch action {
      case .note, .kill, .stop: true
      case .drop, .refuse: false
      }
    }

    /// Whether `point` is passed for the first time; says so in the trace.
    func isDue(_ point: String) -> Bool {
      guard points?.contains(point) ?? true else { return false }
      return state.withLock { state in
        guard state.passed.insert(point).inserted else { return false }
        write("\(point)\n")
        return true
      }
    }

    /// Whether `point` was passed for the first time less than `milliseconds` ago; each time is a line of the trace.
    func isUnderWay(_ point: String, _ milliseconds: Int) -> Bool {
      guard points?.contains(point) ?? true else { return false }
      return state.withLock { state in
        let now = ContinuousClock.now
        let first = state.refusedSince[point] ?? now
        state.refusedSince[point] = first
        guard now - first < .milliseconds(milliseconds) else { return false }
        write("\(point)\n")
        return true
      }
    }

    func remember(_ question: String, _ answer: String) {
      state.withLock { $0.lost[Self.withoutTimes(question)] = Self.withoutTimes(answer) }
    }

    func compare(_ name: String, _ question: String, _ answer: String) {
      let lost = state.withLock { $0.lost.removeValue(forKey: Self.withoutTimes(question)) }
      guard let first = lost else { return }
      let second = Self.withoutTimes(answer)
      write("\(name).repeat\t\(first == second ? "same" : "\(first) | \(second)")\n")
    }

    /// Unix milliseconds stand in every call and in many answers, and pass.
    private static func withoutTimes(_ text: String) -> String {
      var result = ""
      var digits = ""
      for character in text + " " {
        if character.isNumber {
          digits.append(character)
        } else {
          result += digits.count == 13 ? "TIME" : digits
          digits = ""
          result.append(character == "\n" ? " " : character)
        }
      }
      return result
    }

    private func write(_ line: String) {
      let bytes = Array(line.utf8)
      _ = Glibc.write(trace, bytes, bytes.count)
    }

    private static func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }
    }

    private static func text(of descriptor: Int32) -> String {
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 4096)
      while case let count = read(descriptor, &chunk, chunk.count), count > 0 {
        bytes += chunk[..<count]
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
#endif
