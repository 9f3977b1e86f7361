import Glibc
import Synchronization

/// A way to Redis that can be made bad: between a Unix socket of its own and Redis's.
public final class FaultyProxy: Sendable {
  public enum Fault: Sendable, Hashable {
    case none
    /// Every byte arrives this much later; the bandwidth stays.
    case delay(milliseconds: Int)
    /// One byte a second in each direction of each connection.
    case trickle
    /// What clients send is swallowed; what Redis sends arrives.
    case deafServer
    /// What Redis sends is swallowed: it hears and acts, and nobody learns of it.
    case deafClient
    /// Both are swallowed, and new connections are accepted into nothing.
    case drop
    /// Both are swallowed on the connections that there are, for good; new ones are well.
    case forget
    /// Every connection ends, and new ones end at once.
    case cut
  }

  private struct State {
    var fault = Fault.none
    var swallowed = 0
    var delayed = 0
    var cut = 0
    var hasEnded = false
  }

  /// How often the fault in force did something: bytes swallowed, pieces held up, connections ended.
  public struct Counts: Sendable, Hashable {
    public let swallowedBytes: Int
    public let delayedPieces: Int
    public let cutConnections: Int
  }

  public let path: String
  private let target: String
  private let state = Mutex(State())

  /// Listens at `path` until it goes.
  public init(at path: String, to target: String) throws {
    self.path = path
    self.target = target
    guard let listener = listenUnix(path) else {
      throw ChildProcess.Failure(description: "cannot listen at \(path)")
    }
    // A thread and no task: it waits in poll, and a pool of two threads has none to spare.
    var thread = pthread_t()
    let worker = Unmanaged.passRetained(
      ProxyLoop(listener: listener, target: target) { [weak self] in self?.step($0) ?? nil })
    pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<ProxyLoop>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, worker.toOpaque())
    pthread_detach(thread)
  }

  /// Bytes that were swallowed leave a hole in their connection: what is healed are new ones, and those that
  /// were only delayed or idle.
  public func set(_ fault: Fault) { state.withLock { $0.fault = fault } }

  public var counts: Counts {
    state.withLock {
      Counts(swallowedBytes: $0.swallowed, delayedPieces: $0.delayed, cutConnections: $0.cut)
    }
  }

  /// Takes note of what the loop did, and tells it the fault in force.
  private func step(_ done: ProxyLoop.Done) -> Fault {
    state.withLock { state in
      state.swallowed += done.swallowed
      state.delayed += done.delayed
      state.cut += done.cut
      return state.fault
    }
  }
}
