internal import Queue

/// What doctor saw, area by area.
struct DoctorReport: Encodable {
  /// Of one area, on a terminal.
  private static let mostShown = 50

  var areas: [Area]
  /// Keys that were looked at.
  var keys = 0
  /// Keys of the wrong type that lie aside.
  var aside = 0

  init(areas: [Area]) { self.areas = areas }

  var findings: [Finding] { areas.flatMap(\.findings) }

  private enum CodingKeys: String, CodingKey { case areas, keys, aside, findings }

  /// An area as JSON shows it; its findings stand in one list with the others'.
  private struct Row: Encodable {
    let name, summary: String
    let notes: [String]
    let isFine: Bool
  }

  func encode(to encoder: any Encoder) throws {
    var object = encoder.container(keyedBy: CodingKeys.self)
    try object.encode(keys, forKey: .keys)
    try object.encode(aside, forKey: .aside)
    try object.encode(findings, forKey: .findings)
    try object.encode(
      areas.map {
        Row(
          name: $0.name, summary: $0.summary, notes: $0.notes,
          isFine: $0.findings.allSatisfy(\.isRepaired))
      }, forKey: .areas)
  }

  /// A line for each area, and below it what is wrong there, with the remedy; no line is cut.
  func lines(repair: Bool, hasColor: Bool) -> String {
    var lines = areas.flatMap(Self.lines)
    let count = findings.count
    lines.append(
      count == 0
        ? StyledLine("nothing is wrong", .green)
        : StyledLine("\(Wording.count(count, "finding", "findings"))", .bold))
    if !repair, areas.contains(where: { $0.name == "records" && !$0.findings.isEmpty }) {
      lines.append("batchd doctor --repair applies the remedies of broken records")
    }
    return lines.map { $0.text(width: nil, hasColor: hasColor) }.joined(separator: "\n")
  }

  private static func lines(_ area: Area) -> [StyledLine] {
    let isFine = area.findings.allSatisfy(\.isRepaired)
    let verdict =
      area.findings.isEmpty
      ? StyledLine("ok  ", .green)
      : StyledLine(
        "\(Wording.count(area.findings.count, "finding", "findings"))  ", isFine ? .yellow : .red)
    var lines = [
      StyledLine(Columns.padded(area.name, 11), .bold) + verdict
        + StyledLine(area.summary, .dim)
    ]
    for finding in area.findings.prefix(mostShown) {
      lines.append(StyledLine("  \(finding.key) \(finding.problem)"))
      lines.append(
        StyledLine("    \(finding.isRepaired ? "done" : "remedy"): ", .dim)
          + StyledLine(finding.remedy))
    }
    if area.findings.count > mostShown {
      let more = Wording.count(area.findings.count - mostShown)
      lines.append(StyledLine("  … \(more) more; --json shows all"))
    }
    return lines + area.notes.map { StyledLine("  note: \($0)", .dim) }
  }
}
