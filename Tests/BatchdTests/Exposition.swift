/// Prometheus's text format 0.0.4, read strictly: what `batchd metrics` prints must be exactly this.
struct Exposition {
  struct Refusal: Error {
    let line: String
    let reason: String
  }

  private(set) var kinds: [String: String] = [:]
  /// By `NAME{LABELS}` as printed.
  private(set) var samples: [String: Double] = [:]
  private var order: [(name: String, labels: [(String, String)], value: Double)] = []

  init(_ text: String) throws {
    guard text.hasSuffix("\n") else { throw Refusal(line: "", reason: "no end of line at the end") }
    var family = ""
    for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
      if let (_, name) = line.wholeMatch(of: /# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*/)?.output {
        try require(line, kinds[String(name)] == nil, "a family twice")
        family = String(name)
      } else if let (_, name, kind) = line.wholeMatch(
        of: /# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)/)?.output
      {
        try require(line, name == family && kinds[family] == nil, "a type without its help")
        try require(line, kind != "counter" || name.hasSuffix("_total"), "a counter's name")
        kinds[family] = String(kind)
      } else {
        try sample(line, of: family)
      }
    }
    try histograms()
  }

  private func require(_ line: Substring, _ holds: Bool, _ reason: String) throws {
    guard holds else { throw Refusal(line: String(line), reason: reason) }
  }

  private mutating func sample(_ line: Substring, of family: String) throws {
    let pattern = /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/
    guard let (_, name, labels, number) = try pattern.wholeMatch(in: line)?.output,
      let value = Double(number)
    else { throw Refusal(line: String(line), reason: "no sample") }
    let suffixes = kinds[family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
    try require(line, suffixes.contains { family + $0 == name }, "a sample of another family")
    let key = String(line.dropLast(number.count + 1))
    try require(line, samples[key] == nil, "a sample twice")
    samples[key] = value
    order.append((String(name), try Self.labels(labels ?? "", line), value))
  }

  private static func labels(_ text: Substring, _ line: Substring) throws -> [(String, String)] {
    let pattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"(,|$)/
    var labels: [(String, String)] = []
    var rest = text
    while !rest.isEmpty {
      guard let match = try pattern.prefixMatch(in: rest) else {
        throw Refusal(line: String(line), reason: "wrong labels")
      }
      labels.append((String(match.1), String(match.2)))
      rest = rest[match.range.upperBound...]
    }
    guard Set(labels.map(\.0)).count == labels.count else {
      throw Refusal(line: String(line), reason: "a label twice")
    }
    return labels
  }

  /// Buckets in order, rising, the last one the count.
  private func histograms() throws {
    var last: (name: String, bound: Double, count: Double)?
    for (name, labels, value) in order {
      if name.hasSuffix("_bucket") {
        let text = labels.first { $0.0 == "le" }?.1 ?? ""
        guard let bound = text == "+Inf" ? .infinity : Double(text),
          last.map({ $0.bound == .infinity || bound > $0.bound && value >= $0.count }) ?? true
        else { throw Refusal(line: name, reason: "buckets out of order") }
        last = (name, bound, value)
      } else if name.hasSuffix("_count"), let buckets = last {
        guard buckets.bound == .infinity, buckets.count == value else {
          throw Refusal(line: name, reason: "the count is not the last bucket")
        }
        last = nil
      }
    }
  }
}
