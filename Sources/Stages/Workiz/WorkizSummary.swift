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
    items = Self.count(json?["items"])
    for change in Change.allCases {
      changes[change.rawValue] = Self.count(json?[change.rawValue])
    }
    statuses = json?["by_status"]?.object?.mapValues(Self.count) ?? [:]
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
      let amount = fields[name].flatMap(Lenient.number).flatMap(Cents.of) ?? 0
      let sum = amounts[name, default: 0]
      amounts[name] = Cents.sum(sum, amount) ?? sum
    }
  }

  /// What comes from Redis is not trusted: a count near the end of 64 bits must not stop the worker.
  private static func count(_ value: JSON?) -> Int64 {
    let count = value.flatMap(Lenient.integer) ?? 0
    return (0...1_000_000_000_000).contains(count) ? Int64(count) : 0
  }

  var json: JSON {
    var members = changes.mapValues { JSON.integer($0) }
    members["items"] = .integer(items)
    members["by_status"] = .object(statuses.mapValues { .integer($0) })
    members["amounts"] = .object(amounts.mapValues { .number(Cents.number($0)) })
    return .object(members)
  }
}
