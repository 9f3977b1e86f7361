import Foundation
import Pipeline
import Synchronization

/// Who asked what when, and with which gaps: whether a client kept the limit can be read from it.
/// Tokens never enter it. What it holds in memory does not grow with the number of requests.
final class ArrivalLog: Sendable {
  /// A moment, read once on both clocks.
  struct Moment: Sendable {
    let wallMilliseconds: Int64
    let monotonicNanoseconds: Int64

    static func now() -> Moment {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return Moment(
        wallMilliseconds: Int64(Date.now.timeIntervalSince1970 * 1_000),
        monotonicNanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
  }

  /// An account's request in the order of arrivals.
  struct Arrival: Sendable {
    let moment: Moment
    /// Nil when the token belongs to no account.
    let account: String?
    /// From 1, for each account.
    let number: Int
    let gapNanoseconds: Int64?
  }

  private struct Counts {
    var requests = 0
    var violations = 0
    var last: Int64?
    var smallestGap: Int64?
    var statuses: [String: Int] = [:]

    mutating func arrive(_ now: Int64, _ interval: Int64) -> Int64? {
      requests += 1
      // Two connections may hand over their arrivals in the wrong order: the distance counts.
      let gap = last.map { abs(now - $0) }
      last = max(last ?? now, now)
      if let gap {
        smallestGap = min(smallestGap ?? gap, gap)
        if gap < interval { violations += 1 }
      }
      return gap
    }
  }

  private struct State {
    var accounts: [String: Counts] = [:]
    var unknown = Counts()
    /// Lines that could not be written: a log with holes must not pass for a whole one.
    var unwritten = 0
  }

  private let state: Mutex<State>
  private let intervalNanoseconds: Int64
  private let file: FileHandle?

  init(_ settings: WorkizSimulatorSettings, accounts: [String]) throws(SimulatorError) {
    intervalNanoseconds = Int64(settings.intervalMilliseconds) * 1_000_000
    state = Mutex(State(accounts: Dictionary(uniqueKeysWithValues: accounts.map { ($0, .init()) })))
    guard let path = settings.arrivalsPath else {
      file = nil
      return
    }
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let handle = FileHandle(forWritingAtPath: path)
    else {
      throw SimulatorError(
        .arrivals, "cannot write the arrival log '\(path)': check its directory and permissions")
    }
    file = handle
  }

  /// Counts an arrival and measures its gap to the account's arrival before.
  func arrive(_ account: String?, at moment: Moment) -> Arrival {
    state.withLock { state in
      guard let account, state.accounts[account] != nil else {
        state.unknown.requests += 1
        return Arrival(
          moment: moment, account: nil, number: state.unknown.requests, gapNanoseconds: nil)
      }
      let gap = state.accounts[account]!.arrive(moment.monotonicNanoseconds, intervalNanoseconds)
      return Arrival(
        moment: moment, account: account, number: state.accounts[account]!.requests,
        gapNanoseconds: gap)
    }
  }

  /// Writes the line of an arrival once its answer is decided.
  /// - Parameter status: `0` when the connection is closed instead of an answer.
  func record(_ arrival: Arrival, route: String, uuid: String?, status: Int, fault: WorkizFault?) {
    var line: [String: JSON] = [
      "wall_ms": .integer(arrival.moment.wallMilliseconds),
      "monotonic_ns": .integer(arrival.moment.monotonicNanoseconds),
      "account": arrival.account.map { .string($0) } ?? .null,
      "route": .string(route),
      "uuid": uuid.map { .string($0) } ?? .null,
      "status": .integer(Int64(status)),
      "gap_ms": Self.milliseconds(arrival.gapNanoseconds),
    ]
    if let fault { line["fault"] = .string(fault.rawValue) }
    let bytes = JSON.object(line).bytes + [UInt8(ascii: "\n")]
    state.withLock { state in
      if let account = arrival.account {
        state.accounts[account]?.statuses[String(status), default: 0] += 1
      } else {
        state.unknown.statuses[String(status), default: 0] += 1
      }
      // Under the lock, so that lines never mix.
      do { try file?.write(contentsOf: bytes) } catch { state.unwritten += 1 }
    }
  }

  /// Counts per account and status, the smallest gap, and how many gaps were under the interval.
  func summary() -> JSON {
    let state = state.withLock { $0 }
    let all = state.accounts.values
    return .object([
      "interval_ms": .integer(intervalNanoseconds / 1_000_000),
      "requests": .integer(Int64(all.reduce(state.unknown.requests) { $0 + $1.requests })),
      "violations": .integer(Int64(all.reduce(0) { $0 + $1.violations })),
      "smallest_gap_ms": Self.milliseconds(all.compactMap(\.smallestGap).min()),
      "unwritten_lines": .integer(Int64(state.unwritten)),
      "unknown_token": .integer(Int64(state.unknown.requests)),
      "accounts": .object(
        state.accounts.mapValues { counts in
          .object([
            "requests": .integer(Int64(counts.requests)),
            "violations": .integer(Int64(counts.violations)),
            "smallest_gap_ms": Self.milliseconds(counts.smallestGap),
            "statuses": .object(counts.statuses.mapValues { .integer(Int64($0)) }),
          ])
        }),
    ])
  }

  private static func milliseconds(_ nanoseconds: Int64?) -> JSON {
    nanoseconds.map { .number(Double($0 / 1_000) / 1_000) } ?? .null
  }
}
