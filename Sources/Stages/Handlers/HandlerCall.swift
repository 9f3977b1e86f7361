public import Pipeline

/// What a handler outside of this program is handed: one JSON object on one line (DESIGN.md section 7).
///
/// ```
/// {"account":null,"attempt":1,"batch":"b1","items":["A1"],"operation":"b1","payload":null,"pipeline":"p","run":1,
///  "stage":"annotation","inputs":{"setup":{"output":…,"items":{"A1":…}}}}
/// ```
public struct HandlerCall: Sendable {
  public let job: StageJob
  public let inputs: HandlerInputs

  public init(_ job: StageJob, inputs: HandlerInputs) {
    self.job = job
    self.inputs = inputs
  }

  /// The text, in pieces that are read only when they are asked for: the outputs of all items together may be many
  /// times what a worker has of memory. Every pass over it yields the same.
  var text: Text { Text(call: self) }

  /// The whole text, for a person to look at.
  public func bytes() async throws -> [UInt8] {
    var bytes: [UInt8] = []
    for try await piece in text { bytes += piece }
    return bytes
  }

  struct Text: AsyncSequence, Sendable {
    let call: HandlerCall

    func makeAsyncIterator() -> Iterator { Iterator(call) }
  }

  struct Iterator: AsyncIteratorProtocol {
    /// An output may be as large as `limits.output_bytes`: so many of them are in memory at once.
    private static let itemsAtOnce = 16

    private let inputs: HandlerInputs
    private var head: [UInt8]?
    private var stages: ArraySlice<Stage>
    private var stage: Stage?
    private var ids: ArraySlice<String> = []
    private var hasStage = false
    private var hasItem = false
    private var isOver = false

    init(_ call: HandlerCall) {
      inputs = call.inputs
      stages = Stage.allCases.filter { $0 < call.job.stage }[...]
      head = call.job.head.bytes.dropLast() + Array(#","inputs":{"#.utf8)
    }

    mutating func next() async throws -> [UInt8]? {
      if let head {
        self.head = nil
        return head
      }
      if let stage, !ids.isEmpty { return try await items(of: stage) }
      while let stage = stages.popFirst() {
        let output = try await inputs.output(stage)
        ids = try await inputs.items(stage)[...]
        if output != nil || !ids.isEmpty { return begin(stage, output) }
      }
      guard !isOver else { return nil }
      isOver = true
      return Array("}}\n".utf8)
    }

    private mutating func begin(_ stage: Stage, _ output: [UInt8]?) -> [UInt8] {
      self.stage = stage
      var text = Array("\(hasStage ? "," : "")\"\(stage.rawValue)\":{".utf8)
      hasStage = true
      hasItem = false
      if let output { text += Array(#""output":"#.utf8) + output }
      let comma = output == nil ? "" : ","
      text += Array((ids.isEmpty ? "}" : comma + #""items":{"#).utf8)
      return text
    }

    private mutating func items(of stage: Stage) async throws -> [UInt8] {
      let some = Array(ids.prefix(Self.itemsAtOnce))
      ids = ids.dropFirst(some.count)
      var text: [UInt8] = []
      for (id, output) in zip(some, try await inputs.outputs(stage, some)) {
        guard let output else { continue }
        if hasItem { text.append(UInt8(ascii: ",")) }
        hasItem = true
        text += JSON.string(id).bytes + [UInt8(ascii: ":")] + output
      }
      if ids.isEmpty { text += Array("}}".utf8) }
      return text
    }
  }
}

extension StageJob {
  /// All that a handler is handed but the inputs.
  fileprivate var head: JSON {
    .object([
      "batch": .string(batch), "operation": .string(operation),
      "account": account.map { .string($0) } ?? .null, "pipeline": .string(pipeline),
      "stage": .string(stage.rawValue), "run": .integer(Int64(run)),
      "attempt": .integer(Int64(attempt)), "items": .array(items.map(\.value)),
      "payload": payload ?? .null,
    ])
  }

  /// The same job with one of its items.
  public func only(_ item: Item) -> StageJob {
    StageJob(
      batch: batch, operation: operation, account: account, pipeline: pipeline, stage: stage,
      run: run, attempt: attempt, number: number, fence: fence, items: [item],
      itemCount: itemCount, payload: payload, cursor: cursor)
  }
}
