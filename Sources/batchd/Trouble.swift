internal import Foundation
internal import Queue

/// One entry of the library of errors: what a person may see, what it means, and what to do. `explain` and `failed` use it for
/// errors of batches; the table of README.md is made from it (TroubleTests).
struct Trouble: Sendable, Equatable {
  /// Where it is seen.
  enum Place: String, CaseIterable {
    case batch = "In a batch's or an item's error"
    case rejected = "In `batchd rejected`"
    case command = "From a command"
    case worker = "In a worker's log or STATUS="
    case redis = "In Redis"
  }

  let place: Place
  /// A piece of a message as it is written in the sources, where `…` stands for what differs; in `redis` any words.
  let seen: String
  let meaning: String
  let remedy: String

  init(_ place: Place, _ seen: String, _ meaning: String, do remedy: String) {
    self.place = place
    self.seen = seen
    self.meaning = meaning
    self.remedy = remedy
  }

  /// The parts of `seen` that a message has in this order.
  var fragments: [String] {
    seen.split(separator: "…").map { String($0) }
  }

  /// `seen` without the spaces around it.
  var title: String { seen.trimmingCharacters(in: .whitespaces) }

  /// Whether it is this message.
  func matches(_ message: String) -> Bool {
    var rest = message[...]
    for fragment in fragments {
      guard let found = rest.firstRange(of: fragment) else { return false }
      rest = rest[found.upperBound...]
    }
    return true
  }

  /// The first entry that the error of a batch or an item fits; or, in `rejected`, the reason of a rejection.
  static func of(_ message: String, in place: Place = .batch) -> Trouble? {
    all.first { $0.place == place && $0.matches(message) }
  }

  /// What to do about one batch: its names stand in the place of `ID` and `PIPELINE.STAGE`.
  func remedy(for id: String, _ batch: BatchState?) -> String {
    var text = remedy.replacing("ID`", with: "\(id)`").replacing("ID ", with: "\(id) ")
    if let batch, let pipeline = batch.pipeline, let stage = batch.stage {
      text.replace("PIPELINE.STAGE", with: "\(pipeline).\(stage)")
    }
    return text
  }

  /// The section of README.md, with a table for each place.
  static var section: String {
    let tables = Place.allCases.map { place in
      let rows = all.filter { $0.place == place }.map { trouble in
        // What stands in `redis` are words about Redis, not Redis's words.
        let seen = place == .redis ? trouble.seen : "`\(trouble.title)`"
        return "| \(seen) | \(trouble.meaning) | \(trouble.remedy) |\n"
      }
      return "\(place.rawValue):\n\n| you see | it means | do |\n|---|---|---|\n\(rows.joined())\n"
    }
    return """
      `batchd explain ID` says why a batch or an operation is where it is, what comes next and what a person can do; `batchd failed`
      lists what failed. The tables are made from `Sources/batchd/Troubles.swift`; `…` stands for what differs.


      """ + tables.joined()
  }
}
