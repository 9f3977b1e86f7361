internal import Pipeline
internal import Worker

extension Configuration {
  /// One pipeline as this worker serves it.
  struct PipelineSettings: Sendable, Equatable {
    var serve = true
    /// The stage whose items progress counts; nil is the pipeline's own choice (`countedStage`).
    var counts: Stage?
    /// A stage that is not here costs nothing.
    var stages: [Stage: StageSettings] = [:]

    /// All six stages with the handlers of `workiz`.
    /// - Parameters: what the stages start from.
    static func workiz(retry: RetryPolicy = RetryPolicy(), limits: Limits = Limits()) -> Self {
      var pipeline = Self()
      for stage in Stage.allCases {
        pipeline.stages[stage] = StageSettings(.workiz, retry: retry, limits: limits)
      }
      return pipeline
    }
  }

  /// One stage of a pipeline: its handler, and the limits under which that runs.
  struct StageSettings: Sendable, Equatable {
    enum Handler: String, Sendable, CaseIterable {
      /// A command, started for each batch or item.
      case exec
      /// An endpoint, sent a POST for each batch or item.
      case http
      /// Nothing: every item passes.
      case pass
      /// The stage as the pipeline `workiz` has it.
      case workiz
    }

    /// How much a handler is given at once.
    enum Feed: String, Sendable, CaseIterable {
      case batch, item
    }

    var handler: Handler
    var slots: Int
    var timeoutMilliseconds = 3_600_000
    var retry: RetryPolicy
    var onDrain = StageDefinition.OnDrain.handBack
    /// Bytes of the output of an item or of the stage.
    var outputBytes: Int
    /// A name in `[gates]`; nil is none.
    var gate: String?
    var feed = Feed.batch

    /// exec: the program and its arguments.
    var command: [String] = []
    /// exec: where it starts; nil is the folder of the configuration file.
    var directory: String?
    /// exec: its variables, and the names of those that it gets from the worker.
    var environment: [String: String] = [:]
    var passEnvironment: [String] = []

    /// http: where the POST goes.
    var url = ""
    var headers: [String: String] = [:]
    var secret: SecretSource?

    init(_ handler: Handler, retry: RetryPolicy = RetryPolicy(), limits: Limits = Limits()) {
      self.handler = handler
      self.retry = retry
      outputBytes = limits.outputBytes
      slots =
        switch handler {
        // Processes at once, on a machine that also has other things to do.
        case .exec: 4
        case .http: 64
        case .pass, .workiz: 256
        }
    }
  }

  /// A rate limit that stages name.
  struct GateSettings: Sendable, Equatable {
    /// The least time between two permissions, over all workers.
    var intervalMilliseconds = 1_000
    /// Whether each account has a gate of its own.
    var isPerAccount = false
  }
}

extension Configuration.PipelineSettings {
  static var keys: [ConfigurationKey<Self>] {
    [
      .boolean("serve", \.serve),
      .optionalChoice("counts", \.counts),
    ]
  }

  /// The stage whose items progress counts: as given, extraction where `workiz` extracts, else the last.
  var countedStage: Stage {
    if let counts { return counts }
    if stages[.extraction]?.handler == .workiz { return .extraction }
    return stages.keys.max() ?? .persistence
  }
}

extension Configuration.GateSettings {
  static var keys: [ConfigurationKey<Self>] {
    [
      .integer("interval_ms", \.intervalMilliseconds, 1...3_600_000, "milliseconds"),
      .boolean("per_account", \.isPerAccount),
    ]
  }
}
