public import Pipeline
internal import Worker

/// Where a handler's `inputs` come from: the outputs of the earlier stages.
public struct HandlerInputs: Sendable {
  /// The stage's own output, as JSON text.
  let output: @Sendable (Stage) async throws -> [UInt8]?
  /// The items that have an output in a stage, in an order that does not change.
  let items: @Sendable (Stage) async throws -> [String]
  /// The outputs of some items in a stage, as JSON text, in the order of the items.
  let outputs: @Sendable (Stage, [String]) async throws -> [[UInt8]?]
}

extension HandlerInputs {
  /// Inputs at hand, in the form in which a handler is given them: `{"setup":{"output":…,"items":{"A1":…}}}`.
  public init(_ json: JSON) {
    output = { json[$0.rawValue]?["output"]?.bytes }
    items = { json[$0.rawValue]?["items"]?.object?.keys.sorted() ?? [] }
    outputs = { stage, ids in ids.map { json[stage.rawValue]?["items"]?[$0]?.bytes } }
  }

  /// What Redis holds of the batch, read when it is asked for.
  /// - Parameter item: the only one whose outputs are of interest; nil for all.
  init(_ context: StageContext, item: String? = nil) {
    output = { try await context.output(of: $0)?.bytes }
    outputs = { try await context.outputs(of: $0, items: $1) }
    items = { stage in
      guard let item else { return try await context.outputIDs(of: stage) }
      return try await context.outputs(of: stage, items: [item]) == [nil] ? [] : [item]
    }
  }
}
