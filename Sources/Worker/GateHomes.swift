internal import Coordination
internal import Queue

/// Where gates are asked: one of a service is under one prefix, and holds for all of them.
struct GateHomes: Sendable {
  /// A prefix, and where this process stands in line there: a Redis that is away holds up its own gates only.
  struct Home: Sendable {
    let queue: Queue
    let line = GateLine()
  }

  private let homes: [String: Home]

  init(_ queues: [Queue]) {
    homes = Dictionary(uniqueKeysWithValues: queues.map { ($0.keys.prefix, Home(queue: $0)) })
  }

  /// - Parameter queue: that of the batch which asks.
  func home(of gate: String, asking queue: Queue) -> Home {
    homes[queue.prefixes.home(ofGate: gate)] ?? Home(queue: queue)
  }
}
