public import Pipeline
public import Worker

/// The pipeline `workiz`: its six handlers and the HTTP client that two of them share.
public struct WorkizPipeline: Sendable {
  /// The stage whose items progress counts.
  public static let countedStage = Stage.extraction

  public let handlers: [Stage: any StageHandler]
  private let client: WorkizClient

  /// - Throws: `StagesError` when a setting is out of its range.
  public init(_ configuration: WorkizConfiguration) throws(StagesError) {
    client = try WorkizClient(configuration)
    handlers = [
      .setup: WorkizSetup(client: client, configuration: configuration),
      .extraction: WorkizExtraction(client: client, configuration: configuration),
      .annotation: WorkizAnnotation(),
      .validation: WorkizValidation(),
      .metadata: WorkizMetadata(),
      .persistence: WorkizPersistence(),
    ]
  }

  /// Closes the connections. Call it once, after the handlers have ended.
  public func close() async throws { try await client.close() }
}
