public import Pipeline
public import Worker

/// Does nothing: every item passes, and the stage has no output.
public struct PassHandler: StageHandler {
  public init() {}

  public func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? { nil }
}
