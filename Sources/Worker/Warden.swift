/// Stops handlers whose time, or whose lease's local deadline, is over: even if Redis says nothing.
struct Warden: Sendable {
  let state: WorkerState

  private static let pause = Duration.milliseconds(50)

  func run() async {
    while !Task.isCancelled {
      let leases = state.leases
      if leases.isEmpty {
        await state.lease.wait()
        continue
      }
      let now = ContinuousClock.now
      for held in leases { held.check(now: now) }
      try? await Task.sleep(for: Self.pause, tolerance: .zero)
    }
  }
}
