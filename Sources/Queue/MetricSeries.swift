/// One measured series, as a field of a worker's hash holds it: `NAME{LABEL="VALUE",…}` and its value.
public struct MetricSeries: Sendable, Hashable {
  /// What it shows: a count, seconds, or how many values lay within each bound.
  public enum Value: Sendable, Hashable {
    case integer(Int)
    case seconds(Double)
    case histogram(Histogram)
  }

  /// How often something took how long.
  public struct Histogram: Sendable, Hashable {
    /// A bound in seconds, as it is written, and how many took no longer; the last one is `+Inf`.
    public struct Bucket: Sendable, Hashable {
      public let bound: String
      public let count: Int

      public init(bound: String, count: Int) {
        self.bound = bound
        self.count = count
      }
    }

    /// In the order of their bounds.
    public let buckets: [Bucket]
    /// Seconds of all together.
    public let sum: Double
    public var count: Int { buckets.last?.count ?? 0 }

    public init(buckets: [Bucket], sum: Double) {
      self.buckets = buckets
      self.sum = sum
    }
  }

  public let name: String
  /// Label → value, unescaped.
  public let labels: [String: String]
  public let value: Value

  public init(_ name: String, _ labels: [String: String], _ value: Value) {
    self.name = name
    self.labels = labels
    self.value = value
  }

  /// `NAME{LABEL="VALUE",…}`, the labels sorted, as Prometheus writes it; without labels only the name.
  public static func field(_ name: String, _ labels: [String: String]) -> String {
    labels.isEmpty
      ? name
      : "\(name){\(labels.sorted { $0.key < $1.key }.map(Self.label).joined(separator: ","))}"
  }

  private static func label(_ name: String, _ value: String) -> String {
    let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      .replacing("\n", with: "\\n")
    return "\(name)=\"\(escaped)\""
  }
}

extension MetricSeries.Histogram {
  /// `0.1=3 1=5 +Inf=5 sum=2.25`, as a field of a worker's hash holds it.
  public var text: String {
    (buckets.map { "\($0.bound)=\($0.count)" } + ["sum=\(sum)"]).joined(separator: " ")
  }

  /// nil for a text that is none.
  init?(text: String) {
    var pairs = text.split(separator: " ").map {
      $0.split(separator: "=", omittingEmptySubsequences: false)
    }
    guard pairs.allSatisfy({ $0.count == 2 }), let last = pairs.popLast(), last[0] == "sum",
      let sum = Double(last[1]), sum.isFinite
    else { return nil }
    let buckets = pairs.compactMap { pair in
      Int(pair[1]).map { Bucket(bound: String(pair[0]), count: $0) }
    }
    let bounds = buckets.map { $0.bound == "+Inf" ? .infinity : Double($0.bound) ?? .nan }
    guard buckets.count == pairs.count, bounds.last == .infinity,
      zip(bounds, bounds.dropFirst()).allSatisfy({ $0 < $1 }), !bounds[0].isNaN,
      zip(buckets, buckets.dropFirst()).allSatisfy({ $0.count <= $1.count })
    else { return nil }
    self.init(buckets: buckets, sum: sum)
  }
}

extension MetricSeries {
  /// Reads a field of a worker's hash; nil for one that is no series: what one is has labels, or anybody's counter were one.
  init?(field: String, value: String) {
    guard let brace = field.firstIndex(of: "{"), field.hasSuffix("}"),
      Self.isName(field[..<brace]),
      let labels = Self.labels(field[field.index(after: brace)...].dropLast())
    else { return nil }
    if let count = Int(value) {
      self.init(String(field[..<brace]), labels, .integer(count))
    } else if let histogram = Histogram(text: value) {
      self.init(String(field[..<brace]), labels, .histogram(histogram))
    } else {
      return nil
    }
  }

  private static func isName(_ text: Substring) -> Bool {
    text.utf8.first.map { !(0x30...0x39).contains($0) } == true
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }

  /// `a="b",c="d"`
  private static func labels(_ text: Substring) -> [String: String]? {
    var labels: [String: String] = [:]
    var rest = text
    while !rest.isEmpty {
      guard let equals = rest.firstIndex(of: "="), isName(rest[..<equals]) else { return nil }
      let name = String(rest[..<equals])
      rest = rest[rest.index(after: equals)...]
      guard rest.popFirst() == "\"", let value = quoted(&rest), labels[name] == nil else {
        return nil
      }
      labels[name] = value
      guard let comma = rest.popFirst() else { break }
      guard comma == ",", !rest.isEmpty else { return nil }
    }
    return labels
  }

  /// Up to the closing quotation mark, which it takes away, too.
  private static func quoted(_ rest: inout Substring) -> String? {
    var value = ""
    while let character = rest.popFirst() {
      switch character {
      case "\"": return value
      case "\\":
        switch rest.popFirst() {
        case "\\": value.append("\\")
        case "\"": value.append("\"")
        case "n": value.append("\n")
        default: return nil
        }
      default: value.append(character)
      }
    }
    return nil
  }
}
