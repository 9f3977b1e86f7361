internal import FoundationEssentials
internal import Pipeline
internal import TOMLKit

/// Reading a configuration from its file and from those in `accounts_dir`.
extension Configuration {
  private static let byteLimit = 1 << 20

  /// Reads the configuration file at `path`.
  /// - Parameter instance: overrides the file's `instance`; from `--instance`.
  /// - Throws: `ConfigurationError` with every problem found.
  init(file path: String, instance: String? = nil) throws(ConfigurationError) {
    let text: String
    do {
      text = try TextFile.text(of: path, byteLimit: Self.byteLimit)
    } catch {
      throw ConfigurationError(
        .unreadable,
        "\(path): \(error.reason); config.example.toml is a complete configuration to start from")
    }
    try self.init(parsing: text, file: path, instance: instance)
  }

  /// Reads `text`, the content of `file`; relative paths start from the file's directory.
  /// - Throws: `ConfigurationError` with every problem found.
  init(parsing text: String, file: String, instance: String? = nil) throws(ConfigurationError) {
    self.init()
    var reader = try ConfigurationReader(text: text, file: file)
    reader.read(reader.root, at: [], Self.keys, tables: Self.tables, into: &self)
    readTables(&reader)
    readGates(&reader)
    readAccounts(&reader)
    let accountFindings = readAccountsDirectory(&reader)
    readPipelines(&reader)
    check(&reader)
    var findings = reader.findings + accountFindings
    if let instance {
      if let wrong = Self.checkIdentifier(instance) { findings.append("--instance: \(wrong)") }
      self.instance = instance
    }
    guard findings.isEmpty else {
      throw ConfigurationError(.invalid, findings.joined(separator: "\n"))
    }
  }

  private mutating func readTables(_ reader: inout ConfigurationReader) {
    func table(_ name: String) -> TOMLTable? { reader.table(name, in: reader.root, at: []) }
    reader.read(table("redis"), at: ["redis"], RedisSettings.keys, into: &redis)
    reader.read(table("store"), at: ["store"], StoreSettings.keys, into: &store)
    reader.read(table("worker"), at: ["worker"], WorkerSettings.keys, into: &worker)
    reader.read(table("limits"), at: ["limits"], Limits.keys, into: &limits)
    reader.read(table("retry"), at: ["retry"], RetryPolicy.keys, into: &retry)
    reader.read(table("workiz"), at: ["workiz"], WorkizSettings.keys, into: &workiz)
  }

  private mutating func readAccounts(_ reader: inout ConfigurationReader) {
    let table = reader.table("accounts", in: reader.root, at: [])
    for name in table?.keys ?? [] {
      guard let values = reader.table(name, in: table, at: ["accounts"]) else { continue }
      accounts[name] = Self.account(name, values, at: ["accounts", name], &reader)
    }
  }

  /// The account's source of its token; exactly one is required.
  private static func account(
    _ name: String, _ values: TOMLTable, at path: [String], _ reader: inout ConfigurationReader
  ) -> SecretSource? {
    let before = reader.findings.count
    if let wrong = checkIdentifier(name) { reader.report(path, "an account's name \(wrong)") }
    var source: SecretSource?
    reader.read(values, at: path, SecretSource.accountKeys, into: &source)
    if source == nil && reader.findings.count == before {
      reader.report(
        path, "no token; give one of token_file, token_credential, token_env")
    }
    return source
  }

  /// Reads each `NAME.toml` of `accounts_dir`; other names (backups, notes) are left alone.
  /// - Returns: every problem of those files.
  private mutating func readAccountsDirectory(_ main: inout ConfigurationReader) -> [String] {
    guard let directory = accountsDirectory else { return [] }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    } catch {
      main.report(
        ["accounts_dir"],
        "\(directory) cannot be listed; it must be a folder that this user may read")
      return []
    }
    var findings: [String] = []
    for file in names where file.hasSuffix(".toml") && !file.hasPrefix(".") {
      let name = String(file.dropLast(".toml".count))
      let path = "\(directory)/\(file)"
      do throws(ConfigurationError) {
        let text = try Self.accountText(path)
        var reader = try ConfigurationReader(text: text, file: path)
        if accounts[name] != nil {
          reader.report([], "the account stands in the main file too, [accounts.\(name)]; keep one")
        }
        accounts[name] = Self.account(name, reader.root, at: [], &reader)
        findings += reader.findings
      } catch {
        findings.append(error.message)
      }
    }
    return findings
  }

  private static func accountText(_ path: String) throws(ConfigurationError) -> String {
    do {
      return try TextFile.text(of: path, byteLimit: byteLimit)
    } catch {
      throw ConfigurationError(.unreadable, "\(path): \(error.reason)")
    }
  }
}
