import Foundation

/// The repository that these tests were compiled from.
enum SourceTree {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  struct File: Sendable, CustomStringConvertible {
    /// From the root of the repository.
    let path: String
    let lines: [Substring]

    var description: String { path }
  }

  /// The names in a folder, sorted.
  static func names(in folder: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path).sorted()
  }

  /// The text files below `folder` with one of the endings; every ending when none is given. A `Corpus` holds bytes,
  /// and `out` what the examples in `deploy` made.
  static func files(below folder: String, endings: [String] = []) throws -> [File] {
    let walk = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
    return try (walk?.compactMap { $0 as? String } ?? []).sorted()
      .filter { !$0.contains("/Corpus/") && !$0.contains("/out/") }
      .filter { name in endings.isEmpty || endings.contains { name.hasSuffix($0) } }
      .compactMap { try file("\(folder)/\($0)") }
  }

  /// One file; nil for a folder.
  static func file(_ path: String) throws -> File? {
    let url = root.appending(path: path)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder),
      !isFolder.boolValue
    else { return nil }
    let text = try String(contentsOf: url, encoding: .utf8)
    return File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
  }
}
