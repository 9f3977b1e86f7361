import Foundation
import Glibc
import Redis
import Simulators
import TestSupport
import Testing

/// Work in which a worker passes every point, again in each round: all stages, discovery with children, an entry that is
/// rejected, a service that fails, an account without a token, an output too large for one call, cancels, crashes, drains.
struct FailpointScenario {
  let site: Site
  private(set) var rounds = 0
  private let trace: String

  /// - Parameter leaseMilliseconds: of a lease, which ends when its worker dies or stops.
  static func settings(leaseMilliseconds: Int = 2_000) -> Site.Settings {
    var settings = Site.Settings(accounts: 2, jobs: 6)
    settings.simulator.outage = "empty"
    settings.database = 1
    settings.interval = 40
    let large = #"{ printf '{"output":"'; head -c 1500000 /dev/zero | tr '\0' x; echo '"}'; }"#
    settings.retry = """
      backoff_ms = 50
      retries = 1
      [pipelines.large.setup]
      handler = "exec"
      command = ["sh", "-c", \"\"\"\(large.replacing(#"\"#, with: #"\\"#))\"\"\"]
      output_bytes = 2000000
      """
    settings.worker = """
      lease_ms = \(leaseMilliseconds)
      beat_ms = 200
      idle_beat_ms = 300
      drain_ms = 5000
      fetch_ms = 500
      gate_margin_ms = 20
      max_crashes = 1000
      """
    return settings
  }

  init(_ site: Site) {
    self.site = site
    trace = "\(site.folder.path)/trace"
  }

  /// Starts a worker in which `action` happens at the points, every one without `points`.
  func worker(_ name: String, _ action: String, at points: [String]? = nil) throws -> Program {
    var environment = ["BATCHD_FAILPOINT": action, "BATCHD_FAILPOINT_TRACE": trace]
    environment["BATCHD_FAILPOINT_AT"] = points?.joined(separator: ",")
    return try site.worker(name, environment: environment)
  }

  /// The lines of the trace so far.
  var traced: [String] {
    let text = (try? String(contentsOfFile: trace, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map(String.init)
  }

  /// Points at which something has happened.
  var fired: Set<String> { Set(traced.map { String($0.prefix { $0 != "\t" }) }) }

  private var operations: [String] { (1...max(rounds, 1)).map { "o\($0)" } }

  /// Puts in everything once more.
  mutating func enqueue() async throws {
    try await enqueueServed()
    try await enqueueUnserved()
  }

  private mutating func enqueueServed() async throws {
    rounds += 1
    let operation = "o\(rounds)"
    let (acme, bolt) = (site.world.accounts[0], site.world.accounts[1])
    _ = try await site.client.call(["LPUSH", "batchd:enqueue", "{\"id\":"])
    try await site.enqueue(
      "acme\(rounds)", operation: operation, account: acme.name, items: acme.jobs.map(\.uuid))
    try await site.enqueue(
      "bolt\(rounds)", operation: operation, account: bolt.name, items: [], discover: true)
    try await site.enqueue(
      "large\(rounds)", operation: operation, pipeline: "large", account: acme.name, items: [])
    try await site.enqueue(
      "down\(rounds)", operation: operation, account: "empty", items: ["AAAAAA"])
  }

  /// A batch of an account without a token, which waits.
  private func enqueueUnserved() async throws {
    try await site.enqueue(
      "nobody\(rounds)", operation: "o\(rounds)", account: "nobody", items: ["AAAAAA"])
  }

  /// Whether all has ended and is in the store. Cancels what waits for a token that nobody has.
  func hasEnded() async throws -> Bool {
    for round in 1...max(rounds, 1) {
      if try await site.hash("batch:nobody\(round)")["place"] == "batchd:delayed" {
        _ = try await site.client.call([
          "FCALL", "batchd_cancel", 1, "batchd", .text("nobody\(round)"),
        ])
      }
    }
    for operation in operations
    where try await site.hash("progress:\(operation)")["finished_at"] == nil { return false }
    return try await site.client.call(["XLEN", "batchd:ended"]).integer == 0
  }

  /// Whether acme's batch of the last round is being fetched, with more than half of it to go.
  func isFetching() async throws -> Bool {
    let batch = try await site.hash("batch:acme\(rounds)")
    return batch["place"] == "batchd:leases" && batch["stage"] == "extraction"
      && Int(batch["items_done"] ?? "") ?? 0 < 3
  }

  /// Runs the whole scenario with one worker in which `action` happens, after a crash that leaves a lease to recover and
  /// no library, and through a stop in the middle of work. Nothing is charged but that one crash.
  mutating func run(_ action: String, at points: [String]? = nil) async throws {
    try await crash()
    _ = try await site.client.call(["FUNCTION", "FLUSH"])
    let worker = try worker("1", action, at: points)
    await eventually(within: .seconds(60), "round 1 ends") {
      guard worker.isRunning else { throw Ended(output: worker.output) }
      return try await hasEnded()
    }
    try await enqueue()
    await eventually(within: .seconds(20), "it fetches again") { try await isFetching() }
    worker.send(SIGTERM)
    #expect(await worker.exitStatus(within: .seconds(10)) == 0, "\(worker.output)")
    let last = try site.worker("1")
    await eventually(within: .seconds(60), "round 2 ends") { try await hasEnded() }
    last.send(SIGTERM)
    #expect(await last.exitStatus(within: ProcessTests.DrainTests.limit) == 0, "\(last.output)")
    try await expectAllIsRight()
    let charged = try await charges()
    let left = charged.allSatisfy {
      ["acme1", "bolt1", "large1", "nobody1"].contains($0.batch) || $0.batch.hasPrefix("bolt1.")
    }
    let once = charged.count == Set(charged.map(\.batch)).count
    #expect(left && once && charged.allSatisfy { $0.name == "crashed" }, "\(charged)")
  }

  /// Puts in everything, and leaves a lease whose worker is dead, and the batch that waits to its successor.
  mutating func crash() async throws {
    try await enqueueServed()
    let crashing = try site.worker("1")
    await eventually("it fetches") { try await isFetching() }
    await crashing.killNow()
    try await enqueueUnserved()
  }

  private struct Ended: Error { let output: String }

  /// What was charged, but for the batch whose service is down.
  func charges() async throws -> [QueueEvent] {
    try await QueueEvent.all(site.client).filter {
      ["crashed", "retrying"].contains($0.name) && !$0.batch.hasPrefix("down")
    }
  }

  /// L = Z = D = 0: every batch has ended once and as it should, nothing else is there, every row is right.
  func expectAllIsRight() async throws {
    #expect(try await Snapshot.take(site.client).problems == [])
    for key in ["batchd:leases", "batchd:delayed", "batchd:lanes"] {
      #expect(try await site.client.call(["EXISTS", .text(key)]).integer == 0, "\(key)")
    }
    for round in 1...rounds { try await expectEnds(round) }
    try site.expectRowsAreRight()
    let ended = try await QueueEvent.all(site.client).filter { $0.name == "ended" }.map(\.batch)
    #expect(ended.count == 6 * rounds && Set(ended).count == ended.count, "\(ended)")
    let history = try site.rows(
      """
      SELECT rtrim(batch, '0123456789.-'), status, completed_items, failed_items, count(*)
      FROM batch_processing_data GROUP BY 1, 2, 3, 4 ORDER BY 1, 3
      """)
    #expect(
      history == [
        "acme|completed_with_errors|6|2|\(rounds)", "bolt|completed|0|0|\(rounds)",
        "bolt|completed|6|0|\(rounds)", "down|failed|0|1|\(rounds)",
        "large|completed|0|0|\(rounds)",
        "nobody|cancelled|0|1|\(rounds)",
      ])
  }

  private func expectEnds(_ round: Int) async throws {
    let progress = try await site.hash("progress:o\(round)")
    #expect(progress["total"] == "6" && progress["completed"] == "3", "\(progress)")
    #expect(progress["items_done"] == "12" && progress["items_failed"] == "4", "\(progress)")
    let members = try await site.client.call(["LRANGE", .text("batchd:members:o\(round)"), 0, -1])
    let ids = (members.array ?? []).compactMap(\.text)
    #expect(ids.count { $0.hasPrefix("bolt\(round).") && $0.hasSuffix(".1") } == 1, "\(ids)")
    for id in ids {
      let batch = try await site.hash("batch:\(id)")
      #expect(batch["retry_count"] == (id.hasPrefix("down") ? "1" : "0"), "\(id): \(batch)")
    }
  }
}
