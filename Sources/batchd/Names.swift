internal import ArgumentParser
internal import Pipeline
internal import Queue

/// Names for the shell's completion, asked of Redis: quickly, and none in silence when it is away.
enum Names {
  static let operations = completion { try await $0.operationNames() }
  static let pipelines = completion { try await $0.pipelines().keys.sorted() }
  static let accounts = completion { try await $0.accountNames() }
  static let watched = completion { try await $0.operationNames() + $0.liveNames() }
  static let paused = completion { control in
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

  /// For connecting and for each call: a person waits with a finger on the key.
  private static let milliseconds = 150

  private static func completion(
    _ names: @escaping @Sendable (Control) async throws -> [String]
  ) -> CompletionKind {
    .custom { words, _, start in
      guard let control = try? await control(of: words) else { return [] }
      return ((try? await names(control)) ?? []).filter { $0.hasPrefix(start) }
    }
  }

  /// The queue that the rest of the command line names.
  private static func control(of words: [String]) async throws -> Control {
    var own: [String] = []
    for (at, word) in words.enumerated() {
      let name = String(word.prefix { $0 != "=" })
      guard ["--config", "--redis", "--prefix"].contains(name) else { continue }
      own += word == name ? Array(words[at...].prefix(2)) : [word]
    }
    let common = try CommonOptions.parse(own)
    var configuration = try common.configuration()
    configuration.redis.callTimeoutMilliseconds = milliseconds
    return try await common.connect(configuration, connectMilliseconds: milliseconds)
  }
}
