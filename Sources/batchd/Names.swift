internal import ArgumentParser
internal import Pipeline
internal import Queue

/// Names for the shell's completion, asked of Redis: quickly, and none in silence when it is away.
enum Names {
  static let operations = completion { try await $0.operationNames() }
  static let pipelines = completion { try await $0.pipelines().keys.sorted() }
  static let accounts = completion { try await $0.accountNames() }
  static let watched = completion { try await $0.operationNames() + $0.liveNames() }
  static let workers = completion { try await $0.workerNames() }
  static let explained = completion { control in
    try await control.failedNames() + control.liveNames() + control.operationNames()
  }
  static let paused = completion { try await $0.pausedNames() }
  static let pausable = completion { control in
    let pipelines = try await control.pipelines()
    return ["all"] + (try await control.accountNames()).map { "account:\($0)" }
      + pipelines.keys.sorted().map { "pipeline:\($0)" }
      + pipelines.sorted { $0.key < $1.key }.flatMap { name, stages in
        stages.map { "stage:\(name):\($0.rawValue)" }
      }
  }
  static let retried = completion { control in
    try await control.failedNames() + control.operationNames().map { "operation:\($0)" }
  }
  static let cancelled = completion { control in
    try await control.liveNames() + control.operationNames().map { "operation:\($0)" }
  }

  static let configuredStages = completion { configuration in
    configuration.pipelines.flatMap { name, pipeline in
      pipeline.stages.keys.map { "\(name).\($0.rawValue)" }
    }
  }
  static let configuredAccounts = completion { Array($0.accounts.keys) }
  static let refreshed = completion { $0.refreshedPipelines }
  static let configuredGates = completion { Array($0.gates.keys) }

  /// For connecting and for each call: a person waits with a finger on the key.
  private static let milliseconds = 150

  private static func completion(
    _ names: @escaping @Sendable (Control) async throws -> [String]
  ) -> CompletionKind {
    .custom { words, at, _ in
      guard let common = try? common(of: words), var configuration = try? common.configuration()
      else { return [] }
      configuration.redis.callTimeoutMilliseconds = milliseconds
      let found = await withTaskGroup(of: [String].self) { group in
        for prefix in common.names(configuration) {
          group.addTask { [configuration] in
            let control = try? await common.connect(
              configuration, to: prefix, connectMilliseconds: milliseconds)
            guard let control else { return [] }
            return (try? await names(control)) ?? []
          }
        }
        return await group.reduce(into: []) { all, some in all += some.filter { !all.contains($0) }
        }
      }
      // bash takes a colon for the end of a word.
      guard at > 1, at < words.count, words[at - 1] == ":" else { return found }
      let start = words[at - 2] + ":"
      return found.filter { $0.hasPrefix(start) }.map { String($0.dropFirst(start.count)) }
    }
  }

  private static func completion(
    _ names: @escaping @Sendable (Configuration) -> [String]
  ) -> CompletionKind {
    .custom { words, _, _ in
      (try? common(of: words).configuration()).map { names($0).sorted() } ?? []
    }
  }

  /// What the rest of the command line says of the queue.
  private static func common(of words: [String]) throws -> CommonOptions {
    var own: [String] = []
    for (at, word) in words.enumerated() {
      let name = String(word.prefix { $0 != "=" })
      guard ["--config", "--redis", "--prefix"].contains(name) else { continue }
      own += word == name ? Array(words[at...].prefix(2)) : [word]
    }
    return try CommonOptions.parse(own)
  }
}
