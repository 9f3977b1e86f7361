internal import Pipeline
internal import TOMLKit

/// Reading `[gates]` and `[pipelines]`.
extension Configuration {
  mutating func readGates(_ reader: inout ConfigurationReader) {
    let table = reader.table("gates", in: reader.root, at: [])
    for name in table?.keys ?? [] {
      guard let values = reader.table(name, in: table, at: ["gates"]) else { continue }
      let path = ["gates", name]
      if let wrong = Self.checkIdentifier(name) { reader.report(path, "a gate's name \(wrong)") }
      var gate = GateSettings()
      reader.read(values, at: path, GateSettings.keys, into: &gate)
      gates[name] = gate
    }
  }

  /// Reads the pipelines; to be called when `[retry]`, `[limits]` and the accounts have been read, from which stages start.
  ///
  /// `workiz` is there unless the file has pipelines of its own and says nothing of it: whoever runs his own
  /// does not want six idle stages beside them.
  mutating func readPipelines(_ reader: inout ConfigurationReader) {
    let table = reader.table("pipelines", in: reader.root, at: [])
    let names = table?.keys ?? []
    let speaksOfWorkiz =
      reader.root["workiz"] != nil || reader.root["accounts"] != nil || accountsDirectory != nil
    pipelines = [:]
    if names.isEmpty || speaksOfWorkiz {
      pipelines[Self.workizPipeline] = .workiz(retry: retry, limits: limits)
    }
    for name in names {
      guard let values = reader.table(name, in: table, at: ["pipelines"]) else { continue }
      pipelines[name] = pipeline(name, values, &reader)
    }
    if reader.root["default_pipeline"] == nil {
      defaultPipeline =
        pipelines.count == 1 ? pipelines.keys.first! : Self.workizPipeline
    }
  }

  private func pipeline(
    _ name: String, _ table: TOMLTable, _ reader: inout ConfigurationReader
  ) -> PipelineSettings {
    let path = ["pipelines", name]
    if let wrong = Self.checkIdentifier(name) { reader.report(path, "a pipeline's name \(wrong)") }
    var settings =
      name == Self.workizPipeline ? .workiz(retry: retry, limits: limits) : PipelineSettings()
    let stages = Stage.allCases.map(\.rawValue)
    reader.read(table, at: path, PipelineSettings.keys, tables: stages, into: &settings)
    for stage in Stage.allCases {
      guard let values = reader.table(stage.rawValue, in: table, at: path) else { continue }
      settings.stages[stage] = self.stage(
        values, at: path + [stage.rawValue], settings.stages[stage]?.handler, &reader)
    }
    return settings
  }

  /// - Parameter usual: the handler when the table names none.
  private func stage(
    _ table: TOMLTable, at path: [String], _ usual: StageSettings.Handler?,
    _ reader: inout ConfigurationReader
  ) -> StageSettings {
    // Which other keys there are depends on it.
    var handler = usual ?? .pass
    if let value = table["handler"] {
      var named = StageSettings(handler)
      if StageSettings.handlerKey.read(value, reader.directory, &named) == nil {
        handler = named.handler
      }
    } else if usual == nil {
      let known = StageSettings.Handler.allCases.map { tomlString($0.rawValue) }
      reader.report(path, "no handler; give it handler = \(known.joined(separator: " or "))")
      return StageSettings(.pass, retry: retry, limits: limits)
    }
    var settings = StageSettings(handler, retry: retry, limits: limits)
    if handler == .exec, !reader.directory.isEmpty { settings.directory = reader.directory }
    reader.read(table, at: path, StageSettings.keys(for: handler), into: &settings)
    if handler == .exec, table["command"] == nil {
      reader.report(path, "no command; give it one: command = [\"PROGRAM\", \"ARGUMENT\"]")
    }
    if handler == .http, table["url"] == nil {
      reader.report(path, "no url; give it one: url = \"http://HOST/PATH\"")
    }
    return settings
  }

  /// Rules about pipelines and what they name.
  func checkPipelines(_ reader: inout ConfigurationReader) {
    let known = pipelines.keys.sorted().joined(separator: ", ")
    if pipelines[defaultPipeline] == nil {
      reader.report(
        ["default_pipeline"],
        reader.root["default_pipeline"] == nil
          ? "say which pipeline an entry means that names none: \(known)"
          : "must be a known pipeline; known: \(known)")
    }
    if !pipelines.isEmpty, !pipelines.values.contains(where: \.serve) {
      reader.report(["pipelines"], "serve = false in all of them leaves nothing to do")
    }
    for (name, pipeline) in pipelines {
      let path = ["pipelines", name]
      if pipeline.stages.isEmpty {
        reader.report(
          path, "no stage; give it at least one: [pipelines.\(tomlKey(name)).extraction]")
      } else if let counts = pipeline.counts, pipeline.stages[counts] == nil {
        let stages = pipeline.stages.keys.sorted().map(\.rawValue).joined(separator: ", ")
        reader.report(path + ["counts"], "must be one of the pipeline's stages: \(stages)")
      }
      for (stage, settings) in pipeline.stages {
        checkGate(of: settings, at: path + [stage.rawValue], &reader)
      }
    }
  }

  private func checkGate(
    of stage: StageSettings, at path: [String], _ reader: inout ConfigurationReader
  ) {
    guard let gate = stage.gate, gates[gate] == nil else { return }
    let known = gates.keys.sorted().joined(separator: ", ")
    reader.report(
      path + ["gate"],
      "no such gate; " + (known.isEmpty ? "make it: [gates.\(tomlKey(gate))]" : "known: \(known)"))
  }
}
