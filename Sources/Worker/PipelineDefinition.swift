public import Pipeline

/// A named choice of handlers, one per stage, as this worker serves it.
public struct PipelineDefinition: Sendable {
  public let name: String
  /// In the order of the stages; an omitted stage costs nothing.
  public let stages: [StageDefinition]
  /// The stage whose items progress counts.
  public let counts: Stage

  /// - Parameter counts: the last stage when nil.
  public init(name: String, stages: [StageDefinition], counts: Stage? = nil) {
    precondition(!stages.isEmpty, "pipeline \(name) has no stage")
    self.name = name
    self.stages = stages.sorted { $0.stage < $1.stage }
    self.counts = counts ?? self.stages[self.stages.count - 1].stage
  }
}

/// One stage of a pipeline: its handler and the limits under which it runs.
public struct StageDefinition: Sendable {
  /// What SIGTERM does to a running stage job.
  public enum OnDrain: String, Sendable, CaseIterable {
    case handBack = "hand_back"
    case finish
  }

  public let stage: Stage
  public let handler: any StageHandler
  /// How many jobs of this stage run at once in this worker.
  public var slots: Int
  /// Milliseconds that one attempt may take.
  public var timeoutMilliseconds: Int
  public var retry: RetryPolicy
  public var onDrain: OnDrain
  /// Bytes of the output of one item or of the stage.
  public var outputBytes: Int
  /// Whether the handler writes to the store: its fence is raised there before it starts.
  public var writesToStore: Bool

  public init(
    stage: Stage, handler: any StageHandler, slots: Int = 256,
    timeoutMilliseconds: Int = 3_600_000, retry: RetryPolicy = RetryPolicy(),
    onDrain: OnDrain = .handBack, outputBytes: Int = Limits().outputBytes,
    writesToStore: Bool = false
  ) {
    self.stage = stage
    self.handler = handler
    self.slots = slots
    self.timeoutMilliseconds = timeoutMilliseconds
    self.retry = retry
    self.onDrain = onDrain
    self.outputBytes = outputBytes
    self.writesToStore = writesToStore
  }
}
