internal import ArgumentParser
internal import Pipeline
internal import Queue

/// Which batches `retry` and `cancel` mean, and whether they may act.
struct SelectionOptions: ParsableArguments {
  @Option(help: "Only batches of this operation.", completion: Names.operations)
  var operation: String?

  @Option(help: "Only batches of this account.", completion: Names.accounts)
  var account: String?

  @Option(help: "Only batches of this pipeline.", completion: Names.pipelines)
  var pipeline: String?

  @Option(
    help: ArgumentHelp("Only batches that came to this stage.", valueName: "stage"),
    completion: .list(Stage.allCases.map(\.rawValue)), transform: Self.named)
  var stage: Stage?

  @Option(
    help: ArgumentHelp(
      "Only batches whose error contains this, in upper or lower case.", valueName: "text"))
  var error: String?

  @Option(
    help: ArgumentHelp(
      """
      Only batches that ended (while they live: were admitted) at this time or later: RFC 3339, or \
      a date (UTC).
      """, valueName: "time"), transform: HistoryCommand.moment)
  var since: Timestamp?

  @Option(
    help: ArgumentHelp(
      "Only batches that ended (while they live: were admitted) before this time.",
      valueName: "time"),
    transform: HistoryCommand.moment)
  var before: Timestamp?

  @Flag(help: "Only count the batches, and show what they are.")
  var dryRun = false

  @Flag(help: "Do it; without this a filter only counts.")
  var yes = false

  /// A stage, as a command line spells it.
  static func named(_ text: String) throws -> Stage {
    guard let stage = Stage(rawValue: text) else {
      let known = Stage.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("“\(text)” is not a stage: \(known)")
    }
    return stage
  }

  /// What was named.
  enum Choice: Sendable {
    case batches([String])
    /// All batches of one operation.
    case operation(String)
    case filter(BatchFilter)

    /// The account that all of them are of.
    var account: String? { if case .filter(let filter) = self { filter.account } else { nil } }
  }

  /// - Parameters:
  ///   - what: batches, `operation:OP`, `account:A`, `pipeline:P`.
  ///   - statuses: those that were asked for; empty for the usual ones.
  func choice(of what: [String], statuses: [String]) throws -> Choice {
    guard !(dryRun && yes) else { throw ValidationError("either --dry-run or --yes") }
    var filter = BatchFilter()
    (filter.operation, filter.account, filter.pipeline) = (operation, account, pipeline)
    (filter.stage, filter.error) = (stage?.rawValue, error)
    (filter.since, filter.before) = (since?.description, before?.description)
    filter.statuses = Set(statuses)
    let names = [("operation", operation), ("account", account), ("pipeline", pipeline)]
    for (option, name) in names where name.map(Identifier.isValid) == false {
      throw ValidationError("--\(option) must be \(Identifier.rule)")
    }
    var batches: [String] = []
    for word in what {
      let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.last.map(String.init), Identifier.isValid(name) else {
        throw ValidationError("“\(word)” names nothing: a name is \(Identifier.rule)")
      }
      switch parts.count == 1 ? "" : parts[0] {
      case "": batches.append(name)
      case "operation": try Self.set(&filter.operation, name, "operation")
      case "account": try Self.set(&filter.account, name, "account")
      case "pipeline": try Self.set(&filter.pipeline, name, "pipeline")
      default:
        throw ValidationError("“\(word)” is neither a batch nor operation:, account:, pipeline:")
      }
    }
    if !batches.isEmpty {
      guard filter == BatchFilter() else {
        throw ValidationError("either name batches, or choose them by a filter")
      }
      return .batches(batches)
    }
    guard filter != BatchFilter() else {
      throw ValidationError("name batches, operation:OP, account:A or pipeline:P, or give a filter")
    }
    var exact = BatchFilter()
    exact.operation = filter.operation
    if let operation = filter.operation, filter == exact { return .operation(operation) }
    return .filter(filter)
  }

  private static func set(_ field: inout String?, _ name: String, _ kind: String) throws {
    guard field == nil || field == name else { throw ValidationError("one \(kind) at a time") }
    field = name
  }
}
