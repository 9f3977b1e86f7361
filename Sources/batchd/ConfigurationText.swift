internal import Pipeline
internal import TOMLKit

/// Showing a configuration.
extension Configuration {
  /// `text` as JSON.
  var json: String { get throws { try TOMLTable(string: text).convert(to: .json, options: []) } }

  /// The configuration in effect as TOML: every key with its value, file and defaults merged.
  /// Secrets appear as where they come from.
  var text: String {
    var blocks = [Self.block(nil, Self.keys, self)]
    blocks.append(Self.block(["redis"], RedisSettings.keys, redis))
    blocks.append(Self.block(["store"], StoreSettings.keys, store))
    blocks.append(Self.block(["worker"], WorkerSettings.keys, worker))
    blocks.append(Self.block(["limits"], Limits.keys, limits))
    blocks.append(Self.block(["retry"], RetryPolicy.keys, retry))
    for (name, gate) in gates.sorted(by: { $0.key < $1.key }) {
      blocks.append(Self.block(["gates", name], GateSettings.keys, gate))
    }
    for (name, pipeline) in pipelines.sorted(by: { $0.key < $1.key }) {
      blocks.append(Self.block(["pipelines", name], PipelineSettings.keys, pipeline))
      for (stage, settings) in pipeline.stages.sorted(by: { $0.key < $1.key }) {
        let path = ["pipelines", name, stage.rawValue]
        blocks.append(Self.block(path, StageSettings.keys(for: settings.handler), settings))
      }
    }
    // The table alone brings the pipeline along, see `readPipelines`.
    if pipelines[Self.workizPipeline] != nil || workiz != WorkizSettings() {
      blocks.append(Self.block(["workiz"], WorkizSettings.keys, workiz))
    }
    for (name, source) in accounts.sorted(by: { $0.key < $1.key }) {
      blocks.append(Self.block(["accounts", name], SecretSource.accountKeys, source))
    }
    return blocks.joined(separator: "\n")
  }

  /// Every key that a file may hold, but for those of accounts, whose names are free; NAME and STAGE stand for
  /// the names of gates and pipelines and for stages.
  static var keyPaths: [[String]] {
    func paths<Target>(_ table: [String], _ keys: [ConfigurationKey<Target>]) -> [[String]] {
      keys.filter { !$0.isRefused }.map { table + [$0.name] }
    }
    let stage = ["pipelines", "NAME", "STAGE"]
    let stageKeys = StageSettings.Handler.allCases.flatMap {
      paths(stage, StageSettings.keys(for: $0))
    }
    return paths([], keys) + paths(["redis"], RedisSettings.keys)
      + paths(["store"], StoreSettings.keys) + paths(["worker"], WorkerSettings.keys)
      + paths(["limits"], Limits.keys) + paths(["retry"], RetryPolicy.keys)
      + paths(["gates", "NAME"], GateSettings.keys)
      + paths(["pipelines", "NAME"], PipelineSettings.keys) + stageKeys
      + paths(["workiz"], WorkizSettings.keys)
  }

  private static func block<Target>(
    _ path: [String]?, _ keys: [ConfigurationKey<Target>], _ target: Target
  ) -> String {
    let lines = keys.compactMap { key in key.show(target).map { "\(key.name) = \($0)\n" } }
    let header = path.map { "[\($0.map(tomlKey).joined(separator: "."))]\n" } ?? ""
    return header + lines.joined()
  }
}
