import Pipeline

/// Counts and money totals of a batch. Its JSON is both the stage's output and the cursor.
struct WorkizSummary: Sendable, Equatable {
  enum Change: String, CaseIterable {
    case new, changed, unchanged

    init(hash: String, known: String?) {
      self = known == nil ? .new : known == hash ? .unchanged : .changed
    }
  }

  private var items: Int64 = 0
  private var changes: [String: Int64] = [:]
  private var statuses: [String: Int64] = [:]
  /// Cents by normalised name.
  private var amounts: [String: Int64] = [:]

  init(_ json: JSON? = nil) {
    items = json?["items"].flatMap(Lenient.integer).map(Int64.init) ?? 0
    for change in Change.allCases {
      changes[change.rawValue] =
        json?[change.rawValue].flatMap(Lenient.integer).map(Int64.init) ?? 0
    }
    statuses =
      json?["by_status"]?.object?.compactMapValues { Lenient.integer($0).map(Int64.init) } ?? [:]
    for (name, _) in WorkizFields.money {
      amounts[name] = json?["amounts"]?[name].flatMap(Lenient.number).flatMap(Cents.of) ?? 0
    }
  }

  /// Adds one item by its normalised fields.
  mutating func add(_ fields: JSON, _ change: Change) {
    items += 1
    changes[change.rawValue, default: 0] += 1
    statuses[fields["status"]?.string ?? "", default: 0] += 1
    for (name, _) in WorkizFields.money {
      amounts[name, default: 0] += fields[name].flatMap(Lenient.number).flatMap(Cents.of) ?? 0
    }
  }

  var json: JSON {
    var members = changes.mapValues { JSON.integer($0) }
    members["items"] = .integer(items)
    members["by_status"] = .object(statuses.mapValues { .integer($0) })
    members["amounts"] = .object(amounts.mapValues { .number(Cents.number($0)) })
    return .object(members)
  }
}
