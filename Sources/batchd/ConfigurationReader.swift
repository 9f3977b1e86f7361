internal import FoundationEssentials
internal import Glibc
internal import Pipeline
internal import TOMLKit

/// Reads one TOML file key by key against the tables of `ConfigurationKeys.swift`, and collects
/// every problem, so that a person mends a file once and not mistake by mistake.
struct ConfigurationReader {
  let file: String
  /// Where relative paths of this file start.
  let directory: String
  let root: TOMLTable
  private let lines: KeyLines
  private var problems: [(line: Int, text: String)] = []

  /// - Throws: `ConfigurationError` when `text` is not TOML: TOMLKit stops at the first such place.
  init(text: String, file: String) throws(ConfigurationError) {
    self.file = file
    let folder = file.contains("/") ? String(file[..<file.lastIndex(of: "/")!]) : "."
    directory = file.hasPrefix("/") ? folder : absolute(folder, from: Self.workingDirectory)
    // TOMLKit hands the text to C, which would silently end at a NUL.
    if let nul = text.utf8.firstIndex(of: 0) {
      let line = text.utf8[..<nul].count { $0 == UInt8(ascii: "\n") } + 1
      throw ConfigurationError(.invalid, "\(file):\(line): not TOML: a NUL character")
    }
    if let (line, mistake) = TOMLGuard.mistake(in: text) {
      throw ConfigurationError(.invalid, "\(file):\(line): not TOML: \(mistake)")
    }
    do {
      root = try TOMLTable(string: text)
    } catch let error as TOMLParseError {
      throw ConfigurationError(
        .invalid, "\(file):\(error.source.begin.line): not TOML: \(error.description)")
    } catch {
      throw ConfigurationError(.invalid, "\(file): not TOML: \(error)")
    }
    lines = KeyLines(text)
  }

  private static var workingDirectory: String {
    guard let path = getcwd(nil, 0) else { return "" }
    defer { free(path) }
    return String(cString: path)
  }

  /// Reads the values of one table; `tables` are the names in it that are read elsewhere.
  mutating func read<Target>(
    _ table: TOMLTable?, at path: [String], _ keys: [ConfigurationKey<Target>],
    tables: [String] = [], into target: inout Target
  ) {
    guard let table else { return }
    let names = table.keys.filter { !tables.contains($0) }
    for name in names where !keys.contains(where: { $0.name == name }) {
      let known = keys.filter { !$0.isRefused }.map(\.name) + tables
      report(path + [name], "unknown key; " + Self.advice(on: name, known: known))
    }
    // In the order of `keys`, so that what is said about two keys at odds does not depend on chance.
    for key in keys {
      guard let value = table[key.name] else { continue }
      if let wrong = key.read(value, directory, &target) { report(path + [key.name], wrong) }
    }
  }

  /// The table `name` in `parent`; nil, and a problem, when something else has that name.
  mutating func table(_ name: String, in parent: TOMLTable?, at path: [String]) -> TOMLTable? {
    guard let value = parent?[name] else { return nil }
    if let table = value.table { return table }
    let header = (path + [name]).joined(separator: ".")
    report(path + [name], "must be a table, [\(header)], not \(typeName(value))")
    return nil
  }

  /// Notes a problem with the value at `path`; with the file as a whole when it is empty.
  mutating func report(_ path: [String], _ text: String) {
    let line = lines.line(of: path)
    let place = line.map { "\(file):\($0)" } ?? file
    let key = path.isEmpty ? "" : "\(path.joined(separator: ".")): "
    problems.append((line ?? 0, "\(place): \(key)\(text)"))
  }

  /// Notes a problem between values, at the first of `paths` that the file gives.
  mutating func report(between paths: [[String]], _ text: String) {
    report(paths.first(where: lines.contains) ?? paths[0], text)
  }

  /// Whether the file gives a value at `path`.
  func contains(_ path: [String]) -> Bool { lines.contains(path) }

  /// What was found, in the order of the lines.
  var findings: [String] { problems.sorted { $0.line < $1.line }.map(\.text) }

  /// What to write instead of the unknown `name`.
  private static func advice(on name: String, known: [String]) -> String {
    if let near = nearest(to: name, among: known) { return "did you mean \(near)?" }
    if let elsewhere = Configuration.keyPaths.first(where: { $0.last == name }) {
      return elsewhere.count == 1
        ? "\(name) belongs at the top, before the first [table]"
        : "\(name) belongs under [\(elsewhere.dropLast().joined(separator: "."))]"
    }
    return "known here: \(known.joined(separator: ", "))"
  }
}
