import Foundation
import Pipeline

/// A line of the simulator's arrival log: one request for a job.
struct Arrival {
  let account: String
  let uuid: String
  let milliseconds: Int64
  let gapMilliseconds: Double?
  let status: Int
  let fault: String?

  /// Whether the answer decides over the item: the document (late or not), or that it is gone. After
  /// any other answer the item has to be asked for again.
  var settles: Bool { (status == 200 && fault != "truncated") || status == 204 }

  /// Every request for a job so far. A line that is being written is left out.
  static func read(_ path: String) throws -> [Arrival] {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    return try text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap {
      let line = try JSON(parsing: $0.utf8)
      guard let account = line["account"]?.string, let uuid = line["uuid"]?.string,
        case .integer(let wall)? = line["wall_ms"], case .integer(let status)? = line["status"]
      else { return nil }
      var gap: Double?
      if case .number(let value)? = line["gap_ms"] { gap = value }
      if case .integer(let value)? = line["gap_ms"] { gap = Double(value) }
      return Arrival(
        account: account, uuid: uuid, milliseconds: wall, gapMilliseconds: gap, status: Int(status),
        fault: line["fault"]?.string)
    }
  }

  /// How many pages of job listings were asked for so far.
  static func pages(_ path: String) throws -> Int {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
      .count { $0.contains("job/all") }
  }
}
