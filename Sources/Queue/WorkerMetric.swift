/// What a worker measures: the names of its series in its hash, in Prometheus and for swift-metrics.
public enum WorkerMetric: String, Sendable, CaseIterable {
  case stageJobs = "batchd_stage_jobs_total"
  case stageTime = "batchd_stage_seconds"
  case items = "batchd_items_total"
  case gateTime = "batchd_gate_wait_seconds"
  case gateRefusals = "batchd_gate_refusals_total"
  case batchTime = "batchd_batch_seconds"
  case batchWait = "batchd_batch_wait_seconds"

  var help: String {
    switch self {
    case .stageJobs: "Attempts of stage jobs by outcome."
    case .stageTime: "Time of an attempt of a stage job."
    case .items: "Items that handlers reported, done or failed for good."
    case .gateTime: "Time until a gate gave its permission."
    case .gateRefusals: "Gates found closed for longer than a slot is worth."
    case .batchTime: "Time of an ended run from its start, by the worker that wrote its history."
    case .batchWait: "Time of an ended run from its admission to its start."
    }
  }
}
