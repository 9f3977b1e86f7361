internal import Pipeline
internal import Queue
internal import Redis
internal import Stages
internal import Stores
internal import Worker

/// Why a command failed, as a person and a script need it.
struct CommandError: Error, Sendable, Equatable {
  /// The exit status, after sysexits(3).
  enum Code: Int32, Sendable {
    /// EX_DATAERR: the request does not fit what is there.
    case data = 65
    /// EX_NOINPUT: a file cannot be read.
    case noInput = 66
    /// EX_UNAVAILABLE: Redis, the store or another process is in the way.
    case unavailable = 69
    /// EX_SOFTWARE: an answer that no version gives.
    case software = 70
    /// EX_CANTCREAT: a file cannot be written.
    case cannotCreate = 73
    /// EX_IOERR: the answer cannot be written.
    case inputOutput = 74
    /// EX_TEMPFAIL: not now.
    case temporary = 75
    /// EX_NOPERM: Redis refuses this user.
    case noPermission = 77
    /// EX_CONFIG
    case configuration = 78
  }

  let code: Code
  /// What happened, where, and what to do.
  let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// - Parameter batch: one whose status is `rejected`.
  init(rejected batch: BatchState) {
    self.init(
      .data,
      "batch \"\(batch.id)\" was rejected: \(batch.error ?? ""); mend it and enqueue it again, batchd rejected shows it"
    )
  }

  /// nil for an error that is not ours to word.
  init?(_ error: any Error) {
    switch error {
    case let error as CommandError: self = error
    case let error as ConfigurationError:
      self.init(error.code == .unreadable ? .noInput : .configuration, error.message)
    case let error as QueueError:
      self.init(Self.code(of: error), Self.withoutCode(error.message))
    case let error as EnvelopeError: self.init(.data, "\(error)")
    case let error as RedisError: self = Self.redis(error)
    case let error as WorkerError: self.init(.unavailable, error.message)
    case let error as StoreError: self.init(.unavailable, error.message)
    case let error as StagesError: self.init(.configuration, error.message)
    case let error as UpError: self.init(.unavailable, error.description)
    default: return nil
    }
  }

  private static func code(of error: QueueError) -> Code {
    switch error.code {
    case .protocolViolation: .software
    case .twin, .store: .unavailable
    case .notFound, .badArgument, .output, .refused: .data
    }
  }

  private static func redis(_ error: RedisError) -> CommandError {
    if error.code == .configuration { return CommandError(.configuration, error.message) }
    switch error.serverCode {
    case "" where ["NOAUTH", "NOPERM", "WRONGPASS"].contains(where: error.message.contains):
      return CommandError(.noPermission, error.message)
    case "":
      let hint = "is it running, and is this its address (--redis URL, or redis.url in the file)?"
      return CommandError(.unavailable, "\(error.message) — \(hint)")
    case "NOPERM", "NOAUTH", "WRONGPASS":
      return CommandError(
        .noPermission, "Redis refuses: \(error.message) — check user and password in the file")
    case "WRONGTYPE":
      return CommandError(
        .unavailable,
        "a key of the queue is of another type than it should be: batchd doctor names it, batchd doctor --repair sets it aside"
      )
    case "ASK", "TRYAGAIN":
      // It says what to wait for.
      return CommandError(.unavailable, "Redis refuses: \(error.message)")
    case let code:
      let remedy = remedies[code] ?? "batchd doctor may know more"
      return CommandError(.unavailable, "Redis refuses: \(error.message) — \(remedy)")
    }
  }

  /// What ends a refusal of Redis, by its first word.
  private static let remedies = [
    "LOADING": "it reads its data from disk; try again when it has",
    "BUSY": "a script or function runs for too long; FUNCTION KILL or SCRIPT KILL ends it",
    "OOM": "it is full; raise maxmemory, or wait until batches end",
    "MISCONF": "it cannot write to its disk; its log says why, most often the disk is full",
    "READONLY": "it is a replica; name the primary, or use redis+sentinel://",
    "MASTERDOWN": "it is a replica that has lost its primary; name the primary",
    "CLUSTERDOWN": "the cluster is not complete; redis-cli --cluster check says what it lacks",
  ]

  /// The functions' first word is for programs.
  private static func withoutCode(_ message: String) -> String {
    let first = message.prefix { $0 != " " }
    return first.allSatisfy { $0.isUppercase && $0.isASCII }
      ? String(message.dropFirst(first.count + 1)) : message
  }
}
