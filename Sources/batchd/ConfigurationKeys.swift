internal import Pipeline
internal import Queue
internal import Stores

/// Every key of the configuration file: name, field, range and unit, one line each.
///
/// Computed, because key paths are not Sendable; nobody reads a configuration often enough to care.
extension Configuration {
  /// The tables of the file, in the order in which they are shown.
  static let tables = [
    "redis", "store", "worker", "limits", "retry", "gates", "pipelines", "workiz", "accounts",
  ]

  static var keys: [ConfigurationKey<Self>] {
    [
      prefixKey, prefixesKey,
      .string("instance", \.instance, check: checkIdentifier),
      .string("default_pipeline", \.defaultPipeline, check: checkIdentifier),
      .optionalPath("accounts_dir", \.accountsDirectory),
    ]
  }

  /// With several the file would not be read back.
  private static var prefixKey: ConfigurationKey<Self> {
    let key = ConfigurationKey.string("prefix", \Self.onlyPrefix, check: checkPrefix)
    return ConfigurationKey(name: key.name, read: key.read) {
      $0.prefixes.names.count == 1 ? key.show($0) : nil
    }
  }

  private static var prefixesKey: ConfigurationKey<Self> {
    .names("prefixes", \.severalPrefixes, check: checkPrefix) { names in
      guard names.count <= mostPrefixes else {
        return "must be at most \(mostPrefixes) prefixes, not \(names.count)"
      }
      return Set(names).count == names.count ? nil : "must not hold a prefix twice"
    }
  }

  /// A worker has connections for each.
  private static let mostPrefixes = 64

  /// What is wrong with a prefix, or nil.
  static func checkPrefix(_ text: String) -> String? {
    let inner =
      text.hasPrefix("{") && text.hasSuffix("}") ? text.dropFirst().dropLast() : text[...]
    return Identifier.isValid(String(inner))
      ? nil : "must be \(Identifier.rule), in braces on Redis Cluster"
  }

  private var onlyPrefix: String {
    get { prefixes.names[0] }
    set { prefixes = Prefixes([newValue]) }
  }

  /// Empty when there is one.
  private var severalPrefixes: [String] {
    get { prefixes.names.count > 1 ? prefixes.names : [] }
    set { if !newValue.isEmpty { prefixes = Prefixes(newValue) } }
  }

  /// The rule for names that become part of a Redis key.
  static func checkIdentifier(_ text: String) -> String? {
    Identifier.isValid(text) ? nil : "must be \(Identifier.rule)"
  }
}

extension Configuration.RedisSettings {
  static var keys: [ConfigurationKey<Self>] {
    [.string("url", \.url, check: checkURL), .optional("user", \.user)]
      + ConfigurationKey.secret("password", \.password)
      + [.optional("sentinel_user", \.sentinelUser)]
      + ConfigurationKey.secret("sentinel_password", \.sentinelPassword) + [
        .optionalPath("ca_file", \.caFile),
        .optionalPath("certificate_file", \.certificateFile),
        .optionalPath("key_file", \.keyFile),
        .integer("call_timeout_ms", \.callTimeoutMilliseconds, 100...60_000, "milliseconds"),
      ]
  }

  /// Never repeats the URL: someone may have put a password into it.
  private static func checkURL(_ url: String) -> String? {
    if !url.hasPrefix("unix:") && url.contains("@") {
      return "must not hold a user or a password; use redis.user and redis.password_file, "
        + "redis.password_credential or redis.password_env"
    }
    let network = /rediss?:\/\/(\[[0-9A-Fa-f:.]+\]|[^\s\/?#:\[\]]+)(:[0-9]{1,5})?(\/[0-9]*)?/
    let socket = /unix:\/\/\/[^?]+(\?db=[0-9]+)?/
    let sentinels =
      /rediss?\+sentinel:\/\/((\[[0-9A-Fa-f:.]+\]|[^\s\/?#:,\[\]]+)(:[0-9]{1,5})?(,(?!\/)|(?=\/)))+\/[^\s\/?#]+(\/[0-9]*)?/
    let cluster =
      /rediss?\+cluster:\/\/((\[[0-9A-Fa-f:.]+\]|[^\s\/?#:,\[\]]+)(:[0-9]{1,5})?(,(?!\/|$)|(?=\/|$)))+(?<database>\/[0-9]*)?/
    if let match = url.wholeMatch(of: cluster) {
      return ["", "/", "/0"].contains(match.database ?? "")
        ? nil : "names a database; a Redis Cluster has only database 0"
    }
    if url.wholeMatch(of: network) != nil || url.wholeMatch(of: socket) != nil
      || url.wholeMatch(of: sentinels) != nil
    {
      return nil
    }
    return "must be redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB] (TLS), "
      + "unix:///PATH[?db=N], redis+sentinel://HOST[:PORT],HOST[:PORT]/SERVICE[/DB] or "
      + "redis+cluster://HOST[:PORT],HOST[:PORT]"
  }
}

extension Configuration.StoreSettings {
  static var keys: [ConfigurationKey<Self>] {
    let path = ConfigurationKey.path("path", \Self.path)
    return [
      // With both the file would not be read back.
      ConfigurationKey(name: "path", read: path.read) { $0.url == nil ? path.show($0) : nil },
      .optional("url", \.url) { url in
        do {
          return try PostgreSQLStore.mistake(in: url).map {
            "\($0); a password goes into the file that store.password_file names, or into "
              + "store.password_credential or store.password_env"
          }
        } catch {
          return "\(error)"
        }
      },
    ] + ConfigurationKey.secret("password", \.password)
  }
}

extension Configuration.WorkerSettings {
  static var keys: [ConfigurationKey<Self>] {
    [
      .integer("lease_ms", \.leaseMilliseconds, 100...3_600_000, "milliseconds"),
      // A worker that is silent for 30 s counts as dead (tick.lua): at least two beats within that.
      .integer("beat_ms", \.beatMilliseconds, 10...15_000, "milliseconds"),
      .integer("idle_beat_ms", \.idleBeatMilliseconds, 10...15_000, "milliseconds"),
      .integer("drain_ms", \.drainMilliseconds, 0...3_600_000, "milliseconds"),
      .integer("max_crashes", \.maxCrashes, 1...1_000, "crashes"),
      .integer("fetch_ms", \.fetchMilliseconds, 100...3_600_000, "milliseconds"),
      .integer("gate_patience_ms", \.gatePatienceMilliseconds, 0...60_000, "milliseconds"),
      .integer("gate_margin_ms", \.gateMarginMilliseconds, 1...1_000, "milliseconds"),
    ]
  }
}

extension Limits {
  static var keys: [ConfigurationKey<Self>] {
    let century = 100 * 366 * 86_400
    return [
      // Redis itself ends at 512 MiB for one string.
      .integer("envelope_bytes", \.envelopeBytes, 1_024...536_870_912, "bytes"),
      .integer("item_count", \.itemCount, 1...1_000_000, "items"),
      .integer("item_id_bytes", \.itemIDBytes, 1...4_096, "bytes"),
      .integer("json_depth", \.jsonDepth, 2...128, "levels"),
      .integer("delay_seconds", \.delaySeconds, 0...century, "seconds"),
      outputKey(\.outputBytes),
      .integer("batch_output_bytes", \.batchOutputBytes, 1_024...(1 << 40), "bytes"),
      .integer("error_bytes", \.errorBytes, 64...65_536, "bytes"),
      .integer("rejected_count", \.rejectedCount, 1...1_000_000, "entries"),
      .integer("rejected_bytes", \.rejectedBytes, 65_536...1_073_741_824, "bytes"),
      .integer("event_count", \.eventCount, 100...10_000_000, "entries"),
      .integer("retention_seconds", \.retentionSeconds, 1...century, "seconds"),
      .integer("failed_retention_seconds", \.failedRetentionSeconds, 1...century, "seconds"),
    ]
  }
}

extension Limits {
  /// The bound on one output, for whatever has one of its own.
  static func outputKey<Target>(
    _ field: WritableKeyPath<Target, Int>
  ) -> ConfigurationKey<Target> {
    .integer("output_bytes", field, 1_024...536_870_912, "bytes")
  }
}

extension RetryPolicy {
  static var keys: [ConfigurationKey<Self>] { keys(\.self) }

  /// The same keys for whatever has a policy among its fields.
  static func keys<Target>(
    _ field: WritableKeyPath<Target, RetryPolicy>
  ) -> [ConfigurationKey<Target>] {
    let week = 7 * 86_400_000
    return [
      .integer("retries", field.appending(path: \.retries), 0...1_000, "retries"),
      .integer(
        "backoff_ms", field.appending(path: \.backoffMilliseconds), 0...week, "milliseconds"),
      .integer("cap_ms", field.appending(path: \.capMilliseconds), 0...week, "milliseconds"),
    ]
  }
}

extension Configuration.WorkizSettings {
  static var keys: [ConfigurationKey<Self>] {
    [
      .string("base_url", \.baseURL) { url in
        let pattern = /https?:\/\/[^\s\/?#@]+(\/[^\s?#@]*)?/
        return url.wholeMatch(of: pattern) == nil
          ? "must be https://HOST/PATH (or http://), without user, query or token" : nil
      },
      .integer("interval_ms", \.intervalMilliseconds, 1...3_600_000, "milliseconds"),
      .integer("timeout_ms", \.timeoutMilliseconds, 1...600_000, "milliseconds"),
      .choice("offset_unit", \.offsetUnit),
      .integer("batch_size", \.batchSize, 1...10_000, "jobs"),
    ]
  }
}

extension SecretSource {
  /// The keys of `[accounts.NAME]` and of a file in `accounts_dir`; the target is the source itself.
  static var accountKeys: [ConfigurationKey<SecretSource?>] {
    ConfigurationKey.secret("token", \.self)
  }
}
