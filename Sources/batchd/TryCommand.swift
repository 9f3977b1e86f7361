internal import ArgumentParser
internal import Foundation
internal import Logging
internal import Pipeline
internal import Stages

/// `batchd try PIPELINE.STAGE`: one handler, without queue, lease or gate.
struct TryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "try",
    abstract: "Run the handler of one stage on items given here, and show what it does.",
    discussion: """
      The command or endpoint is called just as a worker calls it, with the same environment, \
      directory and limits; the queue, the stage's gate and the results store are left alone. Gates \
      that the handler itself asks (batchd gate) are asked. What the unit forbids (hardening.conf, \
      its user) is not forbidden here. Shows what it is handed, each line that it answers, what it \
      writes to its standard error, and what a worker would make of it.

        batchd try thumbs.extraction --item A1 --item A2
        batchd try thumbs.metadata --item A1 --inputs '{"extraction":{"items":{"A1":{"w":64}}}}'
        batchd try thumbs.extraction --items '[{"id":"A1","url":"http://…"}]' --payload '{"size":64}'

      Exit codes: 0 done, 65 it failed for good, 75 a worker would try again.
      """)

  @Argument(
    help: "The pipeline and the stage, with a dot between.", completion: Names.configuredStages)
  var stage: String

  @Option(name: .customLong("item"), help: "An item's id; as often as there are items.")
  var ids: [String] = []

  @Option(help: "All items, as in an entry's `items`: a JSON array.")
  var items: String?

  @Option(help: "The entry's payload, as JSON.")
  var payload: String?

  @Option(help: "The outputs of earlier stages, as a handler is given them.")
  var inputs: String?

  @Option(help: "The entry's account.", completion: Names.accounts)
  var account: String?

  @Option(help: "The number of the attempt, as the handler is told.")
  var attempt = 1

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard ids.isEmpty || items == nil else {
      throw ValidationError("--item and --items are two ways to say the same; use one")
    }
    guard (1...1_000).contains(attempt) else {
      throw ValidationError("--attempt must be 1 to 1000")
    }
  }

  func run() async throws {
    let configuration = try common.configuration()
    let (job, settings) = try job(configuration)
    let file = CommonOptions.file(common.config).map {
      URL(fileURLWithPath: $0).standardizedFileURL.path
    }
    let trial = try Trial(settings, configuration, file: file, json: common.json)
    let inputs = try json(inputs, "--inputs") ?? .object([:])
    try check(inputs, before: job.stage)
    let verdict = try await trial.run(job, inputs: inputs)
    switch verdict {
    case .done: return
    case .retry: throw ExitCode(CommandError.Code.temporary.rawValue)
    case .permanent: throw ExitCode(CommandError.Code.data.rawValue)
    }
  }

  private func job(
    _ configuration: Configuration
  ) throws -> (StageJob, Configuration.StageSettings) {
    let known = configuration.pipelines.sorted { $0.key < $1.key }.flatMap { name, pipeline in
      pipeline.stages.keys.sorted().map { "\(name).\($0.rawValue)" }
    }
    // A pipeline's name may hold a dot, a stage's does not.
    let dot = stage.lastIndex(of: ".") ?? stage.startIndex
    let pipeline = String(stage[..<dot])
    guard let which = Stage(rawValue: String(stage[dot...].dropFirst())),
      let settings = configuration.pipelines[pipeline]?.stages[which]
    else {
      throw CommandError(
        .configuration,
        "no stage \(stage) in the configuration; known: \(known.joined(separator: ", "))")
    }
    let envelope = try self.envelope(pipeline)
    let work = envelope.items ?? []
    let job = StageJob(
      batch: "try", operation: "try", account: envelope.account, pipeline: pipeline, stage: which,
      run: 1, attempt: attempt, number: 0, fence: Trial.fence, items: work,
      itemCount: envelope.items?.count, payload: envelope.payload, cursor: nil)
    return (job, settings)
  }

  /// Read as an entry is, so that what is refused there is refused here.
  private func envelope(_ pipeline: String) throws -> Envelope {
    var fields: [String: JSON] = ["id": .string("try"), "pipeline": .string(pipeline)]
    if let items = try json(items, "--items") { fields["items"] = items }
    if !ids.isEmpty { fields["items"] = .array(ids.map(JSON.string)) }
    if let payload = try json(payload, "--payload") { fields["payload"] = payload }
    if let account { fields["account"] = .string(account) }
    return try Envelope(parsing: JSON.object(fields).bytes, limits: Limits())
  }

  /// Nothing of it may be passed over in silence: the handler would be tried on less than was given.
  private func check(_ inputs: JSON, before stage: Stage) throws {
    func refuse(_ text: String) -> CommandError { CommandError(.data, "--inputs: \(text)") }
    guard let stages = inputs.object else {
      throw refuse("must be an object of stages, not \(inputs.typeName)")
    }
    let earlier = Stage.allCases.filter { $0 < stage }.map(\.rawValue)
    for (key, value) in stages.sorted(by: { $0.key < $1.key }) {
      guard earlier.contains(key) else {
        let known =
          earlier.isEmpty ? "there is none" : "there are \(earlier.joined(separator: ", "))"
        throw refuse("\"\(key)\" is no stage before \(stage.rawValue): \(known)")
      }
      guard let members = value.object else {
        throw refuse("\"\(key)\" must be an object, not \(value.typeName)")
      }
      if let other = members.keys.filter({ !["output", "items"].contains($0) }).min() {
        throw refuse("\"\(key)\" has a field \"\(other)\"; there are output and items")
      }
      if let items = members["items"], items.object == nil {
        throw refuse(
          "the items of \"\(key)\" must be an object of outputs by item id, not \(items.typeName)")
      }
    }
  }

  private func json(_ text: String?, _ option: String) throws -> JSON? {
    guard let text else { return nil }
    do {
      return try JSON(parsing: Array(text.utf8))
    } catch {
      throw CommandError(
        .data, "\(option) is not JSON: \(error); quote it for the shell: '{\"a\":1}'")
    }
  }
}
