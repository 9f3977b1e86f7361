import FoundationEssentials

/// How the Workiz simulator behaves. The same seed, counts and day give the same world.
public struct WorkizSimulatorSettings: Sendable {
  /// Which request limit is enforced for each token.
  public enum Limit: String, Sendable, CaseIterable {
    /// 429 for a request nearer than the interval to the arrival before it.
    case strict
    /// A bucket of 30 that gains one per interval; run dry, it answers 429 for 15 intervals.
    case bucket
    /// Both of them.
    case both
    /// Neither; the arrival log still shows the gaps.
    case none
  }

  /// What `offset` of `job/all/` counts; sources disagree about the real service (FACTS.md section 1).
  public enum OffsetUnit: String, Sendable, CaseIterable {
    case records, pages
  }

  public var host = "127.0.0.1"
  /// 0 lets the system choose.
  public var port = 8089
  public var seed: UInt64 = 1
  /// Accounts with jobs, 1 to 1 000; one more, `empty`, has none.
  public var accounts = 3
  /// Jobs of each account, 0 to 10 000; nil: 20 to 60, by seed. Two deleted ones come on top.
  public var jobs: Int?
  public var limit = Limit.strict
  /// Milliseconds between two requests of one token.
  public var intervalMilliseconds = 1_000
  /// The share of requests, 0 to 1, that fail in one of the ways of `WorkizFault`.
  public var faults = 0.0
  /// An account whose every request is answered with 503.
  public var outage: String?
  /// The mean time to an answer, in milliseconds; each takes from half to one and a half of it.
  public var latencyMilliseconds = 20
  public var offsetUnit = OffsetUnit.records
  /// The UTC day around which the jobs lie, as yyyy-MM-dd.
  public var today = String(Date.now.ISO8601Format().prefix(10))
  /// Where the arrival log goes, replacing a file that is there; nil keeps only the counts.
  public var arrivalsPath: String?

  public init() {}

  func validate() throws(SimulatorError) {
    func require(_ condition: Bool, _ message: String) throws(SimulatorError) {
      if !condition { throw SimulatorError(.setting, message) }
    }
    try require((0...65_535).contains(port), "port must be 0 to 65535, not \(port)")
    try require((1...1_000).contains(accounts), "accounts must be 1 to 1000, not \(accounts)")
    try require(
      (0...10_000).contains(jobs ?? 0), "jobs per account must be 0 to 10000, not \(jobs ?? 0)")
    try require(
      accounts * (jobs ?? 60) <= 500_000,
      "accounts × jobs must be at most 500000: all of them are held in memory")
    try require(
      (1...3_600_000).contains(intervalMilliseconds),
      "the interval must be 1 to 3600000 ms, not \(intervalMilliseconds)")
    try require((0...1).contains(faults), "faults must be a share from 0 to 1, not \(faults)")
    try require(
      (0...600_000).contains(latencyMilliseconds),
      "the latency must be 0 to 600000 ms, not \(latencyMilliseconds)")
    try require(
      WorkizTimes.day(today) != nil, "today must be a day as yyyy-MM-dd, not '\(today)'")
  }
}
