internal import Pipeline
internal import Queue

/// What is known about batches before they are enqueued, and how to tell that a worker has taken them up.
///
/// A worker refuses these too, but then nobody looks at the command line any more.
struct Admission {
  private struct Awaited {
    let id: String
    let before: BatchState?
  }

  private var awaited: [Awaited] = []
  private var operations: Set<String> = []
  private static let step = 1_000

  /// - Parameter strict: an id that is known is an error rather than a duplicate that is ignored.
  /// - Throws: `CommandError` for what a worker would reject.
  init(of envelopes: [Envelope], _ control: Control, strict: Bool) async throws {
    try await Self.checkPipelines(of: envelopes, control)
    for from in stride(from: 0, to: envelopes.count, by: Self.step) {
      let part = envelopes[from..<min(from + Self.step, envelopes.count)]
      let named = part.filter { $0.id != nil }
      let states = try await control.batches(named.compactMap(\.id))
      for envelope in part where envelope.id == nil {
        if let operation = envelope.operation { operations.insert(operation) }
      }
      for (envelope, before) in zip(named, states) {
        try add(envelope, before, strict: strict)
      }
    }
  }

  /// Checks batches before any of them is pushed.
  /// - Returns: what is known under each prefix.
  /// - Throws: `CommandError` for what a worker would reject.
  static func check(
    _ batches: [EnqueueCommand.Checked], _ routes: inout Routes, strict: Bool
  ) async throws -> [(control: Control, admission: Admission)] {
    try checkSizes(batches, routes)
    var admissions: [(Control, Admission)] = []
    for (prefix, batches) in try routes.grouped(batches, envelope: \.envelope) {
      let control = try await routes.control(of: prefix)
      let admission = try await Admission(of: batches.map(\.envelope), control, strict: strict)
      admissions.append((control, admission))
    }
    return admissions
  }

  /// Under each prefix an operation waits for its size by itself.
  private static func checkSizes(
    _ batches: [EnqueueCommand.Checked], _ routes: Routes
  ) throws {
    var homes: [String: Set<String>] = [:]
    for (prefix, batches) in try routes.grouped(batches, envelope: \.envelope) {
      for (envelope, _) in batches where envelope.size != nil {
        homes[envelope.operation ?? "", default: []].insert(prefix)
      }
    }
    guard let (operation, prefixes) = homes.first(where: { $0.value.count > 1 }) else { return }
    throw CommandError(
      .data,
      "operation \"\(operation)\" goes to the prefixes \(prefixes.sorted().joined(separator: " and ")), under each of which its size would be waited for: leave size out, or name an operation for each; nothing was enqueued"
    )
  }

  private mutating func add(_ envelope: Envelope, _ before: BatchState?, strict: Bool) throws {
    guard let id = envelope.id else { return }
    if let before, before.status != "rejected" {
      if envelope.isRerun, before.isLiving {
        throw CommandError(
          .data,
          "batch \"\(id)\" is still \(before.status): cancel it first, or wait; nothing was enqueued"
        )
      }
      if !envelope.isRerun {
        guard !strict else {
          throw CommandError(
            .data,
            "batch \"\(id)\" is known already (\(before.status)): give another id, or --rerun to run it from the start again"
          )
        }
        operations.insert(before.operation ?? id)
        return
      }
    }
    operations.insert(envelope.operation ?? id)
    awaited.append(Awaited(id: id, before: before))
  }

  private static func checkPipelines(of envelopes: [Envelope], _ control: Control) async throws {
    let known = try await control.pipelines().keys.sorted()
    // Before the first worker nobody knows any.
    guard !known.isEmpty else { return }
    let unknown = envelopes.compactMap(\.pipeline).first { !known.contains($0) }
    guard let unknown else { return }
    throw CommandError(
      .data,
      "pipeline \"\(unknown)\" is not known; known: \(known.joined(separator: ", ")); nothing was enqueued"
    )
  }

  /// Waits until each batch has been admitted.
  /// - Returns: their operations.
  /// - Throws: `CommandError` when one was rejected.
  func settled(_ control: Control) async throws -> [String] {
    var waiting = awaited[...]
    while !waiting.isEmpty {
      let part = waiting.prefix(Self.step)
      let states = try await control.batches(part.map(\.id))
      for (batch, state) in zip(part, states) {
        guard let state, try Self.isNew(state, batch.before) else { break }
        waiting.removeFirst()
      }
      if !waiting.isEmpty { try await Task.sleep(for: .milliseconds(100)) }
    }
    return operations.sorted()
  }

  private static func isNew(_ state: BatchState, _ before: BatchState?) throws -> Bool {
    guard state.status == "rejected" else { return state.run != before?.run }
    guard state.finishedAt != before?.finishedAt || before?.status != "rejected" else {
      return false
    }
    throw CommandError(rejected: state)
  }
}
