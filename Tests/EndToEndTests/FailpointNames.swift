import Foundation

/// Every point that a worker has to pass, read from the sources: what is added there and never reached here fails.
enum FailpointNames {
  /// Functions that people call, and no worker.
  private static let people: Set<String> = [
    "cancel", "retry", "pause", "resume", "reenter", "drop", "doctor", "refresh",
  ]
  /// What is asked of Sentinels and of the nodes of a
  /// cluster, which SentinelTests and ClusterTests have. Who else bears the name (CloneTests) and what was broken
  /// (HostileWorkerTests) is read only then. Another list of prefixes (PrefixesTests) is written only when there was one.
  private static let unused: Set<String> = [
    "SENTINEL", "HSET", "EXISTS", "CLUSTER", "ZSCORE", "XREVRANGE",
  ]
  /// The blocked fetch of entries is several commands in one piece.
  private static let pieces: Set<String> = ["CLIENT+BLMOVE+LLEN+intake"]
  /// What a worker asks at its start for a warning in its log alone, whatever becomes of the answer.
  static let asides: Set<String> = ["ACL.before", "ACL.after"]
  static let storeWrites: Set<String> = [
    "migrate", "raise(epoch:of:)", "raise(fence:of:prefix:forgotten:)", "upsert(_:for:)",
    "record(_:)",
  ]

  /// What people write, and no worker: `import`.
  static let peopleWrites: Set<String> = ["add(_:)"]

  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// The functions of the library that workers call, by the files that define them.
  static func functions() throws -> Set<String> {
    let names = try texts("Sources/Queue/Functions", ".lua").compactMap {
      $0.firstMatch(of: /(?:define\('|function_name = 'batchd_)(\w+)'/).map { String($0.1) }
    }
    return Set(names).subtracting(people)
  }

  /// The other commands that workers send, by the literals in the sources.
  static func commands() throws -> Set<String> {
    var texts = try texts("Sources/Queue", ".swift") { $0.hasPrefix("Queue") }
    for module in ["Redis", "Coordination", "Worker", "Stages"] {
      texts += try Self.texts("Sources/\(module)", ".swift")
    }
    let words = texts.flatMap { $0.matches(of: /\[\s*"([A-Z]{4,})"/).map { String($0.1) } }
    return Set(words).subtracting([
      "FCALL", "REPLACE", "UUID", "PATH", "LOADING", "LLEN", "READONLY",
    ])
    .subtracting(
      unused
    )
    .union(pieces)
  }

  /// How many functions of the SQLite store write; the opening, which makes the tables, is one more.
  static func writingFunctions() throws -> Int {
    try texts("Sources/Stores", ".swift") { $0 == "SQLiteStore.swift" }[0]
      .matches(of: /await write \{/).count
  }

  /// Every call to Redis.
  static func calls() throws -> Set<String> { try functions().union(commands()) }

  /// Every point: NAME.MOMENT.
  static func all() throws -> Set<String> {
    Set(try calls().flatMap { ["\($0).before", "\($0).after"] })
      .union(storeWrites.flatMap { ["\($0).before", "\($0).within", "\($0).after"] })
  }

  private static func texts(
    _ folder: String, _ ending: String, where isWanted: (String) -> Bool = { _ in true }
  ) throws -> [String] {
    let path = root.appending(path: folder).path
    let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    return try names.sorted()
      .filter { $0.hasSuffix(ending) && isWanted($0) }
      .map { try String(contentsOfFile: "\(path)/\($0)", encoding: .utf8) }
  }
}
