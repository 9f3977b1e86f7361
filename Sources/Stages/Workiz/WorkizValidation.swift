import Pipeline
import Worker

/// Rejects documents that are not the job asked for, lack what makes a job, or hold impossible values.
/// An item's output is what is odd about it but no reason to withhold it.
struct WorkizValidation: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    guard !job.items.isEmpty else { return nil }
    let fields = try await context.outputs(of: .annotation)
    for items in job.items.chunks() {
      var results: [String: ItemResult] = [:]
      for item in items {
        results[item.id] =
          fields[item.id].map { Self.result($0, uuid: item.id) } ?? .missing(.annotation)
      }
      try await context.checkpoint(results)
    }
    return nil
  }

  /// All reasons at once, so that nobody mends one to meet the next.
  static func result(_ fields: JSON, uuid: String) -> ItemResult {
    let reasons = identity(fields, uuid) + missing(fields) + impossible(fields)
    guard reasons.isEmpty else { return .failed(reasons.joined(separator: "; ")) }
    let problems = fields["problems"]?.array?.compactMap(\.string) ?? []
    let warnings = problems + odd(fields)
    return .done(.object(["warnings": .array(warnings.map { .string($0) })]))
  }

  private static func identity(_ fields: JSON, _ uuid: String) -> [String] {
    guard let found = fields["uuid"]?.string else { return ["UUID is missing"] }
    return found == uuid ? [] : ["UUID is \(found.prefix(32)), asked for was \(uuid)"]
  }

  private static func missing(_ fields: JSON) -> [String] {
    let problems = fields["problems"]?.array?.compactMap(\.string) ?? []
    return [("status", "Status"), ("starts_at", "JobDateTime")].compactMap { name, key in
      guard fields[name]?.string == nil else { return nil }
      let why = problems.filter {
        $0.hasPrefix(key) || $0.hasPrefix("Timezone") && name == "starts_at"
      }
      return "\(key) is missing or unreadable"
        + (why.isEmpty ? "" : " (\(why.joined(separator: ", ")))")
    }
  }

  private static func impossible(_ fields: JSON) -> [String] {
    var reasons: [String] = []
    for (name, key) in WorkizFields.money {
      guard let amount = fields[name].flatMap(Lenient.number) else { continue }
      if Cents.of(amount) == nil { reasons.append("\(key) is no plausible amount") }
    }
    if let total = fields["total"].flatMap(Lenient.number), total < 0 {
      reasons.append("JobTotalPrice is negative")
    }
    if let start = fields["starts_at"]?.string, !("1990"..."2199").contains(start.prefix(4)) {
      reasons.append("JobDateTime is in the year \(start.prefix(4))")
    }
    return reasons
  }

  private static func odd(_ fields: JSON) -> [String] {
    var warnings: [String] = []
    // RFC 3339 in UTC of one width compares as text.
    if let start = fields["starts_at"]?.string, let end = fields["ends_at"]?.string, end < start {
      warnings.append("JobEndDateTime is before JobDateTime")
    }
    if let total = fields["total"].flatMap(Lenient.number),
      let due = fields["amount_due"].flatMap(Lenient.number), due > total + 0.005
    {
      warnings.append("JobAmountDue is more than JobTotalPrice")
    }
    for (name, key, limit) in [("latitude", "Latitude", 90.0), ("longitude", "Longitude", 180.0)] {
      if let degrees = fields[name].flatMap(Lenient.number), abs(degrees) > limit {
        warnings.append("\(key) is out of range")
      }
    }
    return warnings
  }
}
