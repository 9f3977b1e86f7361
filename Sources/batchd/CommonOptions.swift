internal import ArgumentParser
internal import Foundation
internal import Logging
internal import Pipeline
internal import Queue
internal import Redis

/// What every operator's command takes: where the queue is, and how to answer.
struct CommonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The configuration file (default: \(Configuration.standardPath) if there is one).",
      valueName: "file"), completion: .file(extensions: ["toml"]))
  var config: String?

  @Option(
    help: ArgumentHelp(
      "Redis, instead of the file's: redis://, rediss:// or unix://.", valueName: "url"))
  var redis: String?

  @Option(help: "The prefix of the keys, instead of the file's; or one of the file's several.")
  var prefix: String?

  @Flag(help: "Answer in JSON.")
  var json = false

  /// The file that counts: the named one, else the usual one if it is there.
  static func file(
    _ config: String?, otherwise usual: String = Configuration.standardPath
  ) -> String? {
    config ?? (FileManager.default.fileExists(atPath: usual) ? usual : nil)
  }

  /// Reads the file, if there is one; then the overrides count.
  func configuration() throws -> Configuration {
    var configuration = Configuration()
    if let file = Self.file(config) { configuration = try Configuration(file: file) }
    if let redis {
      configuration.redis.url = redis
      // The file's password is for the file's Redis: never send it to another one.
      configuration.redis.user = nil
      configuration.redis.password = nil
    }
    if let prefix {
      if let wrong = Configuration.checkPrefix(prefix) {
        throw ValidationError("--prefix \(wrong)")
      }
      // Where an account belongs, all of the file's say together.
      if !configuration.prefixes.names.contains(prefix) {
        configuration.prefixes = Prefixes([prefix])
      }
    }
    return configuration
  }

  /// The options as another command line takes them; no password.
  /// - Parameter place: the prefix that is meant, of several.
  func repeated(_ configuration: Configuration, place: String? = nil) throws -> String {
    let prefix = prefix ?? place.map { "'\($0)'" }
    var words: [String] = []
    if let config { words += ["--config", config] }
    if redis != nil { words += ["--redis", try configuration.redis.client().displayName] }
    if let prefix { words += ["--prefix", prefix] }
    return words.map { " \($0)" }.joined()
  }

  /// Prints one answer: the words, or `value` with `--json`.
  func answer(_ words: @autoclosure () -> String, _ value: some Encodable) throws {
    print(json ? try Self.json(value) : words())
  }

  /// One JSON document on one line, keys in snake case and sorted.
  static func json(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}

extension Configuration.RedisSettings {
  /// How long a person waits for a Redis that does not answer.
  private static let connectMilliseconds = 1_000

  /// The connection settings of a program that waits for Redis as long as it takes, the password read.
  func patientClient() throws -> RedisConfiguration {
    var client = try client()
    // An attempt that began while the way was bad is given up no later than a call: until then nobody tries the way anew.
    client.connectTimeoutMilliseconds = min(
      RedisConfiguration.usualConnectTimeoutMilliseconds, callTimeoutMilliseconds)
    return client
  }

  /// The connection settings of a program that a person waits for, the password read.
  func client() throws -> RedisConfiguration {
    var client = try RedisConfiguration(url: url)
    client.user = user ?? client.user
    client.password = try password?.read() ?? client.password
    client.sentinelUser = sentinelUser ?? client.sentinelUser
    client.sentinelPassword = try sentinelPassword?.read() ?? client.sentinelPassword
    if url.lowercased().hasPrefix("rediss") {
      client.caFile = caFile
      client.certificateFile = certificateFile
      client.keyFile = keyFile
    }
    client.connectTimeoutMilliseconds = Self.connectMilliseconds
    client.callTimeoutMilliseconds = callTimeoutMilliseconds
    return client
  }
}
