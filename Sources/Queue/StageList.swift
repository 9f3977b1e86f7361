public import Pipeline

/// Names one list of waiting ids: a stage of a pipeline.
public struct StageList: Sendable, Hashable, CustomStringConvertible {
  public let pipeline: String
  public let stage: Stage

  public init(pipeline: String, stage: Stage) {
    self.pipeline = pipeline
    self.stage = stage
  }

  /// `PIPELINE:STAGE`, as keys hold it.
  public var description: String { "\(pipeline):\(stage.rawValue)" }
}
