internal import Dispatch
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// Ctrl-Z and fg of a program that draws: whoever draws asks, clears the screen, and stops.
final class JobControl: Sendable {
  private struct State {
    var isStopping = false
    var hasContinued = false
  }

  private let state = Mutex(State())
  // What they say goes to `state`, which outlives them.
  nonisolated(unsafe) private var sources: [any DispatchSourceSignal] = []

  init() {
    sources = [
      Interrupt.source(of: SIGTSTP) { [weak self] in
        self?.state.withLock { $0.isStopping = true }
      },
      Interrupt.source(of: SIGCONT) { [weak self] in
        self?.state.withLock { $0.hasContinued = true }
      },
    ]
  }

  deinit {
    for source in sources { source.cancel() }
    for number in [SIGTSTP, SIGCONT] { signal(number, SIG_DFL) }
  }

  /// Whether Ctrl-Z was pressed since the last call.
  var isStopping: Bool {
    state.withLock { state in
      defer { state.isStopping = false }
      return state.isStopping
    }
  }

  /// Whether the process was continued since the last call.
  var hasContinued: Bool {
    state.withLock { state in
      defer { state.hasContinued = false }
      return state.hasContinued
    }
  }

  /// Stops the process, as the signal would have; returns when it is continued. The kernel ignores it where nobody could.
  func stop() {
    let ours = signal(SIGTSTP, SIG_DFL)
    var set = sigset_t()
    var before = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGTSTP)
    pthread_sigmask(SIG_UNBLOCK, &set, &before)
    raise(SIGTSTP)
    pthread_sigmask(SIG_SETMASK, &before, nil)
    signal(SIGTSTP, ours)
    state.withLock { $0.hasContinued = true }
  }
}
