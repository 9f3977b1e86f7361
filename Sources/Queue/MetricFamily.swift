/// All series of one name, with what Prometheus says of them.
public struct MetricFamily: Sendable, Hashable, Encodable {
  public enum Kind: String, Sendable, Encodable {
    case counter, gauge, histogram
  }

  /// As Prometheus names it, `batchd_…`.
  public let name: String
  /// One line.
  public let help: String
  public let kind: Kind
  public let series: [MetricSeries]

  public init(_ name: String, _ help: String, _ kind: Kind, _ series: [MetricSeries]) {
    self.name = name
    self.help = help
    self.kind = kind
    self.series = series
  }

  /// Families of several prefixes as one list, each series with the label `prefix`: a name may come once only.
  public static func merged(_ families: [(prefix: String, families: [MetricFamily])]) -> [Self] {
    var order: [String] = []
    var merged: [String: MetricFamily] = [:]
    for (prefix, families) in families {
      for family in families {
        let series = family.series.map {
          MetricSeries($0.name, $0.labels.merging(["prefix": prefix]) { $1 }, $0.value)
        }
        let known = merged[family.name]
        if known == nil { order.append(family.name) }
        guard known?.kind ?? family.kind == family.kind else { continue }
        merged[family.name] = MetricFamily(
          family.name, family.help, family.kind, (known?.series ?? []) + series)
      }
    }
    return order.compactMap { merged[$0] }
  }

  /// Prometheus's text format 0.0.4: `text/plain; version=0.0.4; charset=utf-8`.
  public static func text(_ families: [MetricFamily]) -> String {
    families.flatMap(\.lines).map { $0 + "\n" }.joined()
  }

  private var lines: [String] {
    let help = help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    return ["# HELP \(name) \(help)", "# TYPE \(name) \(kind.rawValue)"]
      + series.flatMap(Self.lines)
  }

  private static func lines(_ series: MetricSeries) -> [String] {
    func line(_ suffix: String, _ value: String, bound: String? = nil) -> String {
      var labels = series.labels
      if let bound { labels["le"] = bound }
      return "\(MetricSeries.field(series.name + suffix, labels)) \(value)"
    }
    switch series.value {
    case .integer(let value): return [line("", "\(value)")]
    case .seconds(let value): return [line("", "\(value)")]
    case .histogram(let histogram):
      return histogram.buckets.map { line("_bucket", "\($0.count)", bound: $0.bound) }
        + [line("_sum", "\(histogram.sum)"), line("_count", "\(histogram.count)")]
    }
  }
}

extension MetricSeries: Encodable {
  private enum Key: CodingKey {
    case labels, value, buckets, sum, count
  }

  /// Labels, and a value, or the buckets, sum and count of a histogram.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(labels, forKey: .labels)
    switch value {
    case .integer(let value): try container.encode(value, forKey: .value)
    case .seconds(let value): try container.encode(value, forKey: .value)
    case .histogram(let histogram):
      let buckets = histogram.buckets.map { ($0.bound, $0.count) }
      try container.encode(Dictionary(buckets) { $1 }, forKey: .buckets)
      try container.encode(histogram.sum, forKey: .sum)
      try container.encode(histogram.count, forKey: .count)
    }
  }
}
