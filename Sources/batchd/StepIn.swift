internal import ArgumentParser
internal import Queue

/// `retry` or `cancel` of many batches: finds them, counts them, and calls the function for each, once.
struct StepIn: Sendable {
  typealias Act = @Sendable (Control, [String]) async throws -> [Control.Verdict]

  let verb: String
  /// Batches of these can be meant.
  let statuses: [String]
  let choice: SelectionOptions.Choice
  let isDryRun: Bool
  let json: Bool
  let act: Act

  /// Calls in one write: they keep Redis from others for some milliseconds.
  private static let step = 100

  init(
    _ verb: String, statuses: [String], _ choice: SelectionOptions.Choice,
    _ options: SelectionOptions, json: Bool, act: @escaping Act
  ) {
    self.verb = verb
    self.statuses = statuses
    self.choice = choice
    self.json = json
    self.act = act
    if case .filter = choice { isDryRun = !options.yes } else { isDryRun = options.dryRun }
  }

  /// - Throws: `ExitCode` 1 when some were refused, 65 when nothing fits or all were refused, 128 and the signal's number
  ///   after one.
  func run(_ reached: CommonOptions.Reached) async throws {
    let status = try await Interrupt.orFinished {
      var report = StepReport(verb, isDryRun: isDryRun)
      var chosen: [(control: Control, ids: [String])] = []
      for (control, names) in try await named(in: reached) {
        chosen.append((control, try await self.chosen(names, control, &report)))
      }
      var failure: (any Error)?
      if !isDryRun {
        do {
          for (control, ids) in chosen { try await each(ids, control, &report) }
        } catch { failure = error }
      }
      try show(report)
      if let failure {
        Terminal.complain(
          "of up to \(Self.step) more nobody knows; the same command again goes on")
        throw failure
      }
      // What is nowhere here, or more of it, may be there.
      if let failure = reached.failure, !isNamed || report.refusedCount > 0 {
        return failure.code.rawValue
      }
      return try Self.status(of: report)
    }
    guard status == 0 else { throw ExitCode(status) }
  }

  private static func status(of report: StepReport) throws -> Int32 {
    guard report.matched > 0 else {
      throw CommandError(.data, "no batch fits; batchd status shows what there is")
    }
    if report.isDryRun || report.refusedCount == 0 { return 0 }
    return report.doneCount > 0 ? 1 : CommandError.Code.data.rawValue
  }

  private var filter: BatchFilter {
    var filter = BatchFilter()
    switch choice {
    case .batches: break
    case .operation(let operation): filter.operation = operation
    case .filter(let wanted): filter = wanted
    }
    if filter.statuses.isEmpty { filter.statuses = Set(statuses) }
    return filter
  }

  /// Whom to ask, and which of the batches that were named: each under the prefix that it means, or the first.
  private func named(
    in reached: CommonOptions.Reached
  ) async throws -> [(control: Control, ids: [String])] {
    var all = reached.controls.map { (control: $0, ids: [String]()) }
    guard case .batches(let ids) = choice else { return all }
    guard all.count > 1 else { return [(all[0].control, ids)] }
    for id in ids {
      let meant = try await reached.first { control in
        guard let batch = try await control.batches([id])[0] else { return .unknown }
        return batch.status == "rejected" ? .rejected : batch.isLiving ? .living : .ended
      }
      all[all.firstIndex { $0.control.keys == meant?.keys } ?? 0].ids.append(id)
    }
    return all.filter { !$0.ids.isEmpty }
  }

  /// The batches, each once, those admitted first before the others.
  /// - Parameter names: those that were named, if any were.
  private func chosen(
    _ names: [String], _ control: Control, _ report: inout StepReport
  ) async throws -> [String] {
    if case .batches = choice { return try await named(names, control, &report) }
    var found: [(at: String, number: Int, id: String)] = []
    var seen: Set<String> = []
    var looked = 0
    let line = ProgressLine()
    defer { line.end() }
    try await control.find(filter) { batches, count in
      looked += count
      for batch in batches where seen.insert(batch.id).inserted {
        report.count(batch)
        found.append((batch.admittedAt ?? "", batch.number, batch.id))
      }
      line.show("\(Wording.count(looked)) batches looked at, \(Wording.count(found.count)) fit")
    }
    return found.sorted { $0 < $1 }.map(\.id)
  }

  private func named(
    _ ids: [String], _ control: Control, _ report: inout StepReport
  ) async throws -> [String] {
    var seen: Set<String> = []
    let once = ids.filter { seen.insert($0).inserted }
    guard isDryRun else {
      report.matched += once.count
      return once
    }
    let fitting = try await control.fitting(filter, once)
    for batch in fitting { report.count(batch) }
    let missing = seen.subtracting(fitting.map(\.id)).sorted()
    for id in missing {
      report.refuse(
        id, "UNFIT", "batch \"\(id)\" is not known, or not \(statuses.joined(separator: ", "))")
    }
    return []
  }

  private func each(
    _ ids: [String], _ control: Control, _ report: inout StepReport
  ) async throws {
    let line = ProgressLine()
    defer { line.end() }
    for from in stride(from: 0, to: ids.count, by: Self.step) {
      guard !Task.isCancelled else {
        report.isInterrupted = true
        return
      }
      let part = Array(ids[from..<min(from + Self.step, ids.count)])
      // To its end whatever comes: nobody would know what became of a call that was given up.
      let (called, verdicts) = try await Task { try await call(part, control) }.value
      let left = Set(part).subtracting(called)
      for id in part where left.contains(id) {
        report.refuse(id, "CHANGED", "batch \"\(id)\" changed meanwhile and fits no more")
      }
      for (id, verdict) in zip(called, verdicts) { try report.note(id, verdict) }
      line.show("\(Wording.count(from + part.count)) of \(Wording.count(ids.count)) batches")
    }
  }

  /// What a filter chose some time ago must still fit.
  private func call(
    _ ids: [String], _ control: Control
  ) async throws -> ([String], [Control.Verdict]) {
    var called = ids
    if case .batches = choice {
    } else {
      called = try await control.fitting(filter, ids).map(\.id)
    }
    return (called, called.isEmpty ? [] : try await act(control, called))
  }

  private func show(_ report: StepReport) throws {
    if json {
      print(try CommonOptions.json(report))
    } else if report.isDryRun {
      let terminal = Terminal()
      for line in report.choice where report.matched > 0 {
        print(line.text(width: terminal.size?.columns, hasColor: terminal.hasColor))
      }
      if report.matched > 0 {
        print("nothing was done" + (isFilter ? "; the same with --yes does it" : ""))
      }
    } else if case .batches = choice {
      for answer in report.answers { print("\(answer.batch): \(answer.answer)") }
    } else if report.matched > 0 {
      print(report.outcome)
    }
    for refusal in report.refusals { Terminal.complain("batchd: \(refusal.message)") }
    if report.isInterrupted {
      Terminal.complain(
        "batchd: interrupted: \(report.outcome); the same command again goes on")
    }
  }

  private var isNamed: Bool { if case .batches = choice { true } else { false } }
  private var isFilter: Bool { if case .filter = choice { true } else { false } }
}
