/// Every key of one prefix, so that no literal stands elsewhere.
public struct Keys: Sendable, Hashable {
  /// `batchd`, or `{batchd}` on Redis Cluster.
  public let prefix: String

  public init(prefix: String) { self.prefix = prefix }

  /// The one key that people write.
  public var enqueue: String { "\(prefix):enqueue" }
  public var delayed: String { "\(prefix):delayed" }
  public var leases: String { "\(prefix):leases" }
  public var failed: String { "\(prefix):failed" }
  public var lanes: String { "\(prefix):lanes" }
  public var rejected: String { "\(prefix):rejected" }
  public var paused: String { "\(prefix):paused" }
  public var operations: String { "\(prefix):operations" }
  public var workers: String { "\(prefix):workers" }
  public var departed: String { "\(prefix):departed" }
  public var store: String { "\(prefix):store" }
  public var pipelines: String { "\(prefix):pipelines" }
  public var meta: String { "\(prefix):meta" }
  public var stats: String { "\(prefix):stats" }
  public var events: String { "\(prefix):events" }
  public var ended: String { "\(prefix):ended" }

  public func progress(_ operation: String) -> String { "\(prefix):progress:\(operation)" }
  public func progress(_ operation: String, account: String) -> String {
    "\(prefix):progress:\(operation):\(account)"
  }
  public func batch(_ id: String) -> String { "\(prefix):batch:\(id)" }
  public func errors(_ id: String) -> String { "\(prefix):errors:\(id)" }
  public func queue(_ list: StageList) -> String { queue("\(list)") }
  public func suspects(_ list: StageList) -> String { suspects("\(list)") }
  public func gate(_ name: String) -> String { "\(prefix):gate:\(name)" }
  public func worker(_ name: String) -> String { "\(prefix):worker:\(name)" }

  /// - Parameter list: `PIPELINE:STAGE` as Redis has it, which need be no stage that is known here.
  func queue(_ list: String) -> String { "\(prefix):queue:\(list)" }
  func suspects(_ list: String) -> String { "\(prefix):suspects:\(list)" }
  /// - Parameter lane: `PIPELINE:ACCOUNT`.
  func lane(_ lane: String) -> String { "\(prefix):lane:\(lane)" }
  func accounts(_ operation: String) -> String { "\(prefix):accounts:\(operation)" }
  func input(_ id: String) -> String { "\(prefix):input:\(id)" }
  func members(_ operation: String) -> String { "\(prefix):members:\(operation)" }
  func output(_ id: String) -> String { "\(prefix):output:\(id)" }
  func items(_ id: String, _ stage: String) -> String { "\(prefix):items:\(id):\(stage)" }
  func intake(_ worker: String, _ list: StageList) -> String { intake(worker, "\(list)") }
  func intake(_ worker: String, _ list: String) -> String { "\(prefix):intake:\(worker):\(list)" }
  func intake(_ worker: String) -> String { "\(prefix):intake:\(worker):enqueue" }
}
