import Foundation

/// The sources of the function library by file name, which tests may change before they put them together.
public struct FunctionSources: Sendable {
  /// Files whose functions the others share, in this order, as the daemon puts them together.
  private static let shared = [
    "keytypes.lua", "helpers.lua", "progress.lua", "records.lua", "runs.lua", "lifecycle.lua",
    "outputs.lua", "plain.lua", "recount.lua", "inspection.lua", "entries.lua", "gates.lua",
    "retention.lua",
  ]

  public var files: [String: String] = [:]

  /// - Parameter folder: of `.lua` files; without one that of the environment's BATCHD_FUNCTIONS, or else the sources.
  public init(folder: String? = nil) throws {
    let folder = URL(filePath: folder ?? Self.replacement ?? Self.sources)
    for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
      files[file] = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
    }
  }

  /// A folder of changed functions that tests are to run with.
  public static let replacement = ProcessInfo.processInfo.environment["BATCHD_FUNCTIONS"]

  private static let sources = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Sources/Queue/Functions").standardizedFileURL.path

  /// The library as Redis takes it.
  public var library: String {
    let others = files.keys.filter { !Self.shared.contains($0) }.sorted()
    return "#!lua name=batchd\n" + Self.shared.map { files[$0] ?? "" }.joined()
      + others.map { "do\n\(files[$0] ?? "")end\n" }.joined()
  }
}
