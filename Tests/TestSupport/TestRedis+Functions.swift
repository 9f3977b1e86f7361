import Foundation

extension TestRedis {
  /// Loads the functions of the folder that the environment names, if it does: the daemon keeps a library of its own
  /// revision that it finds, so that tests run with changed functions without a build.
  public func loadReplacedFunctions() async throws {
    guard let folder = FunctionSources.replacement else { return }
    let file = "\(self.folder)/functions.lua"
    try FunctionSources(folder: folder).library.write(
      toFile: file, atomically: true, encoding: .utf8)
    _ = try await shell("rcli -x FUNCTION LOAD REPLACE < \(file)")
  }
}
