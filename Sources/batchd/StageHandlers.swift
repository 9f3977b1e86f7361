internal import Pipeline
internal import Stages
internal import Worker

/// Making the handlers that the configuration names.
extension Configuration {
  /// Whether a stage that this worker serves has the handler of the pipeline `workiz`.
  var needsWorkiz: Bool {
    pipelines.values.contains { pipeline in
      pipeline.serve && pipeline.stages.values.contains { $0.handler == .workiz }
    }
  }

  /// The pipelines that this worker serves.
  /// - Parameters:
  ///   - workiz: there when `needsWorkiz`.
  ///   - file: what handlers are told to be their configuration.
  /// - Throws: `StagesError`, or `ConfigurationError` when a secret cannot be read.
  func definitions(workiz: WorkizPipeline?, file: String) throws -> [PipelineDefinition] {
    try pipelines.filter(\.value.serve).sorted { $0.key < $1.key }.map { name, pipeline in
      PipelineDefinition(
        name: name,
        stages: try pipeline.stages.map { stage, settings in
          StageDefinition(
            stage: stage, handler: try handler(of: stage, settings, workiz, file: file),
            slots: settings.slots, timeoutMilliseconds: settings.timeoutMilliseconds,
            retry: settings.retry, onDrain: settings.onDrain, outputBytes: settings.outputBytes,
            writesToStore: stage == .persistence && settings.handler == .workiz)
        }, counts: pipeline.countedStage)
    }
  }

  private func handler(
    of stage: Stage, _ settings: StageSettings, _ workiz: WorkizPipeline?, file: String
  ) throws -> any StageHandler {
    switch settings.handler {
    case .exec: return try command(settings, file: file)
    case .http: return try endpoint(settings)
    case .pass: return PassHandler()
    case .workiz:
      guard let handler = workiz?.handlers[stage] else {
        preconditionFailure("workiz has a handler for every stage")
      }
      return handler
    }
  }

  /// The handler of a stage with `handler = "exec"`.
  func command(_ stage: StageSettings, file: String?) throws -> ExecHandler {
    var exec = ExecConfiguration(command: stage.command)
    exec.environment = stage.environment
    exec.passEnvironment = stage.passEnvironment
    exec.directory = stage.directory
    exec.configurationPath = file
    return try ExecHandler(
      exec, gate: gateRule(stage), feed: feed(stage), retries: stage.retry.retries,
      limits: limits(stage))
  }

  /// The handler of a stage with `handler = "http"`.
  func endpoint(_ stage: StageSettings) throws -> HTTPHandler {
    var http = HTTPConfiguration(url: stage.url)
    http.headers = stage.headers
    http.signingSecret = try stage.secret?.read()
    return try HTTPHandler(
      http, gate: gateRule(stage), feed: feed(stage), retries: stage.retry.retries,
      limits: limits(stage))
  }

  private func gateRule(_ stage: StageSettings) -> GateRule? {
    stage.gate.flatMap { name in
      gates[name].map {
        GateRule(
          name: name, isPerAccount: $0.isPerAccount, intervalMilliseconds: $0.intervalMilliseconds)
      }
    }
  }

  private func feed(_ stage: StageSettings) -> Feed {
    Feed(rawValue: stage.feed.rawValue) ?? .batch
  }

  private func limits(_ stage: StageSettings) -> Limits {
    var limits = limits
    limits.outputBytes = stage.outputBytes
    return limits
  }
}
