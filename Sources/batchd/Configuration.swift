internal import Pipeline
internal import Queue
internal import Worker

/// The settings of one `batchd` process: what its TOML file says, and the defaults for the rest.
///
/// Plain values without a dependency on handlers; secrets are here only as where they come from.
/// `config.example.toml` explains each setting; `ConfigurationKeys.swift` maps keys to fields.
struct Configuration: Sendable, Equatable {
  /// Where a command looks when no file is named.
  static let standardPath = "/etc/batchd/config.toml"

  /// What begins every key in Redis: `Identifier.rule`, in braces on Redis Cluster.
  var prefixes = Prefixes(["batchd"])
  /// Tells the workers of one host apart.
  var instance = "1"
  /// The pipeline of an envelope that names none: the only one, or `workiz`, when the file says nothing.
  var defaultPipeline = Self.workizPipeline
  /// A folder with one `NAME.toml` per account.
  var accountsDirectory: String?
  var redis = RedisSettings()
  var store = StoreSettings()
  var worker = WorkerSettings()
  var limits = Limits()
  /// What every stage starts from.
  var retry = RetryPolicy()
  /// The rate limits that stages name.
  var gates: [String: GateSettings] = [:]
  /// By name.
  var pipelines = [Self.workizPipeline: PipelineSettings.workiz()]
  var workiz = WorkizSettings()
  /// Where each account's token comes from, those of `accountsDirectory` included.
  var accounts: [String: SecretSource] = [:]

  /// The pipeline that batchd brings along.
  static let workizPipeline = "workiz"
}

extension Configuration {
  /// How to reach Redis.
  struct RedisSettings: Sendable, Equatable {
    /// `redis://HOST[:PORT][/DB]`, `rediss://…` (TLS), `unix:///PATH[?db=N]` or
    /// `redis+sentinel://HOST[:PORT],…/SERVICE[/DB]` or `redis+cluster://HOST[:PORT],…`; never with a password.
    var url = "redis://127.0.0.1:6379"
    /// The ACL user; nil is Redis's `default`.
    var user: String?
    var password: SecretSource?
    /// The Sentinels' own, with a URL that names them only.
    var sentinelUser: String?
    var sentinelPassword: SecretSource?
    /// PEM files, with `rediss://`, `rediss+sentinel://` and `rediss+cluster://` only.
    var caFile: String?
    var certificateFile: String?
    var keyFile: String?
    var callTimeoutMilliseconds = 5_000
  }

  /// Where results go.
  struct StoreSettings: Sendable, Equatable {
    /// The SQLite file; of no meaning with `url`.
    var path = "/var/lib/batchd/batchd.sqlite"
    /// The PostgreSQL database, as libpq takes it; never with a password.
    var url: String?
    var password: SecretSource?
  }

  /// The times and bounds of a worker; the defaults are those of `WorkerConfiguration`.
  struct WorkerSettings: Sendable, Equatable {
    var leaseMilliseconds = 15_000
    var beatMilliseconds = 5_000
    var idleBeatMilliseconds = 10_000
    var drainMilliseconds = 20_000
    var maxCrashes = 3
    var fetchMilliseconds = 300_000
    var gatePatienceMilliseconds = 2_000
    var gateMarginMilliseconds = 15
  }

  /// The Workiz API.
  struct WorkizSettings: Sendable, Equatable {
    /// What `offset` of `job/all/` counts; the sources disagree (FACTS.md section 1).
    enum OffsetUnit: String, Sendable, CaseIterable {
      case records, pages
    }

    var baseURL = "https://api.workiz.com/api/v1"
    /// The least time between two requests for one account.
    var intervalMilliseconds = 1_000
    var timeoutMilliseconds = 30_000
    var offsetUnit = OffsetUnit.records
    /// Jobs per batch when an account's jobs are discovered.
    var batchSize = 10
  }
}
