internal import Foundation

/// Gathers the figures and prints them: a table that grows while the benchmark runs, or one JSON object at its end.
final class BenchReport {
  private struct Row: Encodable {
    let appendOnly: Bool
    let lpush: Double
    let rpop: Double
    let figure: Figure
  }

  private struct Document: Encodable {
    let machine: String
    let processors: Int
    let redisIsAlone: Bool
    let date: Date
    let command: String
    let rows: [Row]
  }

  private let isJSON: Bool
  private var rows: [Row] = []

  init(isJSON: Bool) { self.isJSON = isJSON }

  private static var machine: String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    let model = line?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces)
    return model ?? "unknown processor"
  }

  func begin() {
    if isJSON { return }
    #if DEBUG
      say("A debug build: its figures say nothing of the worker's speed.")
    #endif
    let redis = BenchSite.redisIsAlone ? ", the first one for Redis alone" : ""
    say("\(Self.machine), \(ProcessInfo.processInfo.processorCount) processors\(redis)")
  }

  /// Says on standard error what is measured now.
  func announce(_ what: String) {
    FileHandle.standardError.write(Data("measuring \(what) …\n".utf8))
  }

  func add(
    _ figures: [Figure], _ workload: Workload, appendOnly: Bool, _ yardstick: Yardstick
  ) {
    rows += figures.map {
      Row(appendOnly: appendOnly, lpush: yardstick.lpush, rpop: yardstick.rpop, figure: $0)
    }
    if isJSON { return }
    let yard = "raw LPUSH \(Self.text(yardstick.lpush))/s, RPOP \(Self.text(yardstick.rpop))/s"
    say("\n\(workload.rawValue), append-only file \(appendOnly ? "everysec" : "off") (\(yard))")
    for figure in figures { say(Self.line(figure)) }
  }

  func end() throws {
    guard isJSON else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.dateEncodingStrategy = .iso8601
    let document = Document(
      machine: Self.machine, processors: ProcessInfo.processInfo.processorCount,
      redisIsAlone: BenchSite.redisIsAlone, date: .now,
      command: CommandLine.arguments.joined(separator: " "), rows: rows)
    say(String(decoding: try encoder.encode(document), as: UTF8.self))
  }

  /// Past stdio's buffer: whoever watches through a pipe sees each figure at once.
  private func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

  private static func line(_ figure: Figure) -> String {
    let value = "\(text(figure.value)) \(figure.unit)"
    var line = "  \(padded(figure.name, 44))\(padded(value, 16))"
    if let target = figure.target, let isMet = figure.isMet {
      let bound = target.atLeast.map { "≥ \(text($0))" } ?? target.atMost.map { "≤ \(text($0))" }
      line += "\(isMet ? "met   " : "missed") \(bound ?? "")"
    }
    return line
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(width - text.count, 1))
  }

  /// Three digits that mean something, thousands apart.
  static func text(_ value: Double) -> String {
    if value >= 100 || value == value.rounded() {
      return Int(value.rounded()).formatted(.number.locale(Locale(identifier: "en_US")))
    }
    return String(format: value >= 10 ? "%.1f" : "%.2f", value)
  }
}
