import Foundation

/// How the pipeline `workiz` reaches the service.
public struct WorkizConfiguration: Sendable {
  /// What `offset` of `job/all/` counts; sources disagree (FACTS.md section 1). The wrong one is detected.
  public enum OffsetUnit: String, Sendable, CaseIterable {
    case records, pages
  }

  /// Everything before the token: `http` or `https`, no query.
  public var baseURL = "https://api.workiz.com/api/v1"
  /// Milliseconds between two requests of one account.
  public var intervalMilliseconds = 1_000
  /// Milliseconds from the start of a request to the last byte of its answer.
  public var timeoutMilliseconds = 30_000
  /// Milliseconds that an account waits after a first 429 without `Retry-After`; doubled twice after more.
  public var throttledMilliseconds = 15_000
  public var offsetUnit = OffsetUnit.records
  /// How many items a batch that discovery makes may have.
  public static let batchSizes = 1...100
  /// Items of one batch that discovery makes.
  public var batchSize = 10
  /// The token of an account, or nil when this worker has none. Asked at each stage job, so that
  /// a reload takes effect.
  public var token: @Sendable (_ account: String) -> String?

  public init(token: @escaping @Sendable (_ account: String) -> String?) { self.token = token }

  /// The gate that every worker asks before a request of the account.
  public static func gate(_ account: String) -> String { "workiz:\(account)" }

  func validate() throws(StagesError) {
    func require(_ condition: Bool, _ message: String) throws(StagesError) {
      if !condition { throw StagesError(.configuration, "workiz: \(message)") }
    }
    let url = URLComponents(string: baseURL)
    try require(
      ["http", "https"].contains(url?.scheme ?? "") && url?.host?.isEmpty == false
        && url?.query == nil && url?.fragment == nil,
      "base_url must be an http or https address without a query, as https://api.workiz.com/api/v1")
    try require(
      (1...86_400_000).contains(intervalMilliseconds),
      "interval_ms must be 1 to 86400000, not \(intervalMilliseconds)")
    try require(
      (1...600_000).contains(timeoutMilliseconds),
      "timeout_ms must be 1 to 600000, not \(timeoutMilliseconds)")
    try require(
      (1...3_600_000).contains(throttledMilliseconds),
      "throttled_ms must be 1 to 3600000, not \(throttledMilliseconds)")
    try require(
      Self.batchSizes.contains(batchSize), "batch_size must be 1 to 100, not \(batchSize)")
  }
}
