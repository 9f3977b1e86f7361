public import Pipeline

/// The settings of one worker process.
public struct WorkerConfiguration: Sendable {
  /// Machine id and instance; the name under which a restarted process finds its work again.
  public var name: String
  public var host: String
  /// Names what the host-local lock of worker names reaches: processes that share it cannot both bear this worker's name.
  public var lockReach: String
  public var version: String
  public var pipelines: [PipelineDefinition]
  /// The pipeline of an envelope that names none.
  public var defaultPipeline: String?
  public var limits: Limits
  /// How long a lease lasts without renewal.
  public var leaseMilliseconds = 15_000
  /// How often leases are renewed while work runs.
  public var beatMilliseconds = 5_000
  /// How often an idle worker says that it lives.
  public var idleBeatMilliseconds = 10_000
  /// How long one blocked fetch waits before it is armed again.
  public var fetchMilliseconds = 300_000
  /// How long SIGTERM waits for stages that finish rather than hand back.
  public var drainMilliseconds = 20_000
  /// The crash that fails a batch as poison.
  public var maxCrashes = 3
  /// Wait for a gate up to this long while holding the slot; a batch whose gate opens later is snoozed.
  public var gatePatienceMilliseconds = 2_000
  /// A permission not used within this time is thrown away.
  public var gateMarginMilliseconds = 15

  public init(
    name: String, host: String, version: String, pipelines: [PipelineDefinition],
    defaultPipeline: String? = nil, limits: Limits = Limits()
  ) {
    self.name = name
    self.host = host
    lockReach = InstanceLock.reach
    self.version = version
    self.pipelines = pipelines
    self.defaultPipeline = defaultPipeline
    self.limits = limits
  }
}
