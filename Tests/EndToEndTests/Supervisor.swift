import Glibc
import Synchronization
import TestSupport
import Testing

/// What systemd does for a worker: starts it again when it ends, and ends it when it does not say any more that it is
/// well (`WATCHDOG=1` to its `NOTIFY_SOCKET`, sd_notify(3)).
final class Supervisor: Sendable {
  struct Death: Sendable {
    let worker: String
    /// As of `Program.exitStatus`; nil when the watchdog ended it.
    let status: Int32?
  }

  private static let watchdog = Duration.seconds(6)

  private let workers: TestWorkers
  private let through: [String]
  private let seen = Mutex<[Death]>([])

  var deaths: [Death] { seen.withLock { $0 } }

  /// - Parameter through: see `Program`.
  init(_ workers: TestWorkers, through: [String]) {
    self.workers = workers
    self.through = through
  }

  /// Keeps the worker of that name running until the task is cancelled.
  func keep(_ name: String) async throws {
    while !Task.isCancelled {
      let socket = try NotifySocket("\(workers.folder.path)/\(name).notify")
      let microseconds = Self.watchdog.components.seconds * 1_000_000
      let program = try workers.launch(
        name,
        environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "\(microseconds)"],
        through: through)
      // A service is watched from its READY=1 on.
      var heard: ContinuousClock.Instant?
      var isStuck = false
      while program.isRunning, !Task.isCancelled {
        if !socket.takeMessages().isEmpty { heard = .now }
        if let heard, ContinuousClock.now - heard > Self.watchdog {
          isStuck = true
          await program.killNow()
        }
        try? await Task.sleep(for: .milliseconds(10))
      }
      if Task.isCancelled { return }
      let status = await program.exitStatus()
      seen.withLock { $0.append(Death(worker: name, status: isStuck ? nil : status)) }
    }
  }
}
