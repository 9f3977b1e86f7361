internal import ArgumentParser
internal import Pipeline
internal import Queue

/// One batch, as a command line spells it.
struct BatchOptions: ParsableArguments {
  enum Priority: String, ExpressibleByArgument, CaseIterable {
    case normal, high
  }

  @Argument(help: "The items.")
  var items: [String] = []

  @Option(help: "The batch (default: one is made).")
  var id: String?

  @Option(
    help: "The operation it belongs to (default: its own).", completion: Names.operations)
  var operation: String?

  @Option(help: "The pipeline (default: the workers').", completion: Names.pipelines)
  var pipeline: String?

  @Option(help: "The account: one batch at a time, in order.", completion: Names.accounts)
  var account: String?

  @Option(
    help: ArgumentHelp("Items from a file, one a line; - is standard input.", valueName: "file"),
    completion: .file())
  var itemsFile: String?

  @Option(help: ArgumentHelp("For the handlers.", valueName: "json"))
  var payload: String?

  @Option(help: "high goes to the front.")
  var priority: Priority?

  @Option(help: ArgumentHelp("Start after so many seconds.", valueName: "seconds"))
  var delay: Double?

  @Option(help: ArgumentHelp("Start at a time, like 2026-01-31T12:00:00Z.", valueName: "time"))
  var at: String?

  @Option(help: "How many batches the operation will have.")
  var size: Int?

  @Flag(help: "Run an ended batch of that id from the start again.")
  var rerun = false

  var isEmpty: Bool {
    items.isEmpty && !rerun
      && [id, operation, pipeline, account, itemsFile, payload, at].allSatisfy { $0 == nil }
      && priority == nil && delay == nil && size == nil
  }

  /// The envelope, checked as a worker will check it.
  func envelope(limits: Limits) throws -> EnqueueCommand.Checked {
    var members: [String: JSON] = [:]
    members["id"] = .string(id ?? Control.makeID(operation: operation))
    members["operation"] = operation.map(JSON.string)
    members["pipeline"] = pipeline.map(JSON.string)
    members["account"] = account.map(JSON.string)
    members["at"] = at.map(JSON.string)
    members["delay"] = delay.map(JSON.number)
    members["size"] = size.map { .integer(Int64($0)) }
    members["priority"] = priority.map { .string($0.rawValue) }
    if rerun { members["rerun"] = .bool(true) }
    if let payload {
      guard let value = try? JSON(parsing: payload.utf8) else {
        throw ValidationError(
          "--payload is not JSON; quote it for the shell: '{\"key\":\"value\"}'")
      }
      members["payload"] = value
    }
    let all = items + (try itemsFile.map(TextInput.lines) ?? [])
    if !all.isEmpty || itemsFile != nil { members["items"] = .array(all.map(JSON.string)) }
    let bytes = JSON.object(members).bytes
    guard bytes.count <= limits.envelopeBytes else {
      throw CommandError(
        .data,
        "the batch has \(bytes.count) bytes, the limit is \(limits.envelopeBytes) (limits.envelope_bytes): split it"
      )
    }
    do {
      return (try Envelope(parsing: bytes, limits: limits), bytes)
    } catch let error as EnvelopeError {
      throw ValidationError("\(error)")
    }
  }
}
