internal import Pipeline
internal import Stages

/// The keys of `[pipelines.NAME.STAGE]`, which depend on its handler.
extension Configuration.StageSettings {
  private typealias Key = ConfigurationKey<Self>

  /// The key that comes before all others.
  static var handlerKey: ConfigurationKey<Self> { .choice("handler", \.handler) }

  /// The keys of a stage with this handler. Those of other handlers say so.
  static func keys(for handler: Handler) -> [ConfigurationKey<Self>] {
    let mine = Set(keys(of: handler).map(\.name))
    var owners: [String: [Handler]] = [:]
    for other in Handler.allCases {
      for key in keys(of: other) where !mine.contains(key.name) {
        owners[key.name, default: []].append(other)
      }
    }
    let others = owners.map { name, handlers in
      Key.refused(
        name,
        "is for handler = \(handlers.map { tomlString($0.rawValue) }.joined(separator: " or "))"
          + ", this stage has \(tomlString(handler.rawValue))")
    }
    return [handlerKey] + keys(of: handler) + others
  }

  private static func keys(of handler: Handler) -> [Key] {
    let limits = Limits.outputKey(\Self.outputBytes)
    switch handler {
    case .exec: return runtimeKeys + [limits] + callKeys + execKeys
    case .http: return runtimeKeys + [limits] + callKeys + httpKeys
    case .pass: return runtimeKeys
    case .workiz: return runtimeKeys + [limits]
    }
  }

  private static var runtimeKeys: [Key] {
    [
      .integer("slots", \.slots, 1...10_000, "jobs at once"),
      .integer("timeout_ms", \.timeoutMilliseconds, 1...86_400_000, "milliseconds"),
    ] + RetryPolicy.keys(\.retry) + [.choice("on_drain", \.onDrain)]
  }

  private static var callKeys: [Key] {
    [.optional("gate", \.gate), .choice("feed", \.feed)]
  }

  /// What a command is told of its batch: a worker refuses to start with names of these.
  private static let ownVariables = "BATCHD_"

  private static var execKeys: [Key] {
    [
      .command("command", \.command),
      .optionalPath("directory", \.directory),
      .texts("environment", \.environment) { name, value in
        if !SecretSource.isVariableName(name) {
          return "\(name) is not the name of a variable (A-Z a-z 0-9 _)"
        }
        if name.hasPrefix(ownVariables) { return "\(name) is batchd's own: choose another name" }
        return value.contains("\0") ? "\(name) holds a NUL character" : nil
      },
      .names("pass_environment", \.passEnvironment) { name in
        if !SecretSource.isVariableName(name) {
          return "must hold names of variables (A-Z a-z 0-9 _), not values"
        }
        return name.hasPrefix(ownVariables)
          ? "\(name) is batchd's own: every command is given it as it is for its batch" : nil
      },
    ]
  }

  private static var httpKeys: [Key] {
    [
      .string("url", \.url, check: HTTPConfiguration.mistake(inURL:)),
      .texts("headers", \.headers, check: HTTPConfiguration.mistake(inHeader:value:)),
    ] + ConfigurationKey.secret("secret", \.secret)
  }
}
