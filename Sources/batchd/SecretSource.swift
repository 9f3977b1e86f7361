internal import FoundationEssentials
internal import Pipeline
internal import TOMLKit

/// Where a secret (an account's token, Redis's password) comes from. The secret itself is never
/// part of the configuration, so nothing that shows a configuration can show it.
enum SecretSource: Sendable, Hashable {
  /// The content of a file.
  case file(String)
  /// An environment variable.
  case environment(String)
  /// A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`; for a person's commands, which have none, in
  /// `/etc/credstore`, where systemd looks for those of services, too (systemd.exec(5)).
  case credential(String)

  /// How the configuration spells the kind: `token_file`, `token_env`, `token_credential`.
  static let suffixes = ["file", "env", "credential"]

  var suffix: String {
    switch self {
    case .file: "file"
    case .environment: "env"
    case .credential: "credential"
    }
  }

  var name: String {
    switch self {
    case .file(let name), .environment(let name), .credential(let name): name
    }
  }

  static func isVariableName(_ text: String) -> Bool {
    text.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_]*/) != nil
  }

  /// Bytes of a secret; also bounds what is read of a file named by mistake.
  static let byteLimit = 65_536

  /// The secret, without the white space around it.
  /// - Throws: `ConfigurationError` (`secret`) that says where it was looked for, never what was found.
  func read(
    environment: [String: String] = ProcessInfo.processInfo.environment,
    credstore: String = "/etc/credstore"
  ) throws(ConfigurationError) -> String {
    switch self {
    case .file(let path):
      return try Self.content(of: path, origin: "file \(path)")
    case .environment(let name):
      let origin = "environment variable \(name)"
      guard let value = environment[name] else {
        throw Self.error(
          origin, "is not set; set it for this process, or name a file or a credential")
      }
      return try Self.checked(value, origin: origin)
    case .credential(let name):
      let origin = "systemd credential \(name)"
      if let directory = environment["CREDENTIALS_DIRECTORY"] {
        return try Self.content(of: "\(directory)/\(name)", origin: origin)
      }
      let path = "\(credstore)/\(name)"
      let text: String
      do {
        text = try TextFile.text(of: path, byteLimit: Self.byteLimit)
      } catch {
        throw Self.error(
          origin,
          "$CREDENTIALS_DIRECTORY is not set, and \(path): \(error.reason); put the secret there and add LoadCredential=\(name) to the unit; run commands as root"
        )
      }
      return try Self.checked(text, origin: "file \(path)")
    }
  }

  private static func content(
    of path: String, origin: String
  ) throws(ConfigurationError) -> String {
    let text: String
    do {
      text = try TextFile.text(of: path, byteLimit: byteLimit)
    } catch {
      throw Self.error(origin, error.reason)
    }
    return try checked(text, origin: origin)
  }

  private static func checked(
    _ text: String, origin: String
  ) throws(ConfigurationError) -> String {
    guard let first = text.firstIndex(where: { !$0.isWhitespace }),
      let last = text.lastIndex(where: { !$0.isWhitespace })
    else { throw error(origin, "is empty; write the secret into it, on one line") }
    let secret = String(text[first...last])
    guard secret.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
      throw error(origin, "holds more than one line; a secret is one line")
    }
    return secret
  }

  private static func error(_ origin: String, _ reason: String) -> ConfigurationError {
    ConfigurationError(.secret, "\(origin): \(reason)")
  }
}

extension ConfigurationKey {
  /// `PREFIX_file`, `PREFIX_env` and `PREFIX_credential`, of which at most one may be used, and
  /// `PREFIX` itself, which must not.
  static func secret(_ prefix: String, _ field: WritableKeyPath<Target, SecretSource?>) -> [Self] {
    let kinds = SecretSource.suffixes.map { suffix in
      Self(name: "\(prefix)_\(suffix)") { value, directory, target in
        guard let text = value.string else { return "must be a string, not \(typeName(value))" }
        if text.isEmpty { return nil }
        let source: SecretSource
        switch suffix {
        case "file": source = .file(absolute(text, from: directory))
        case "env":
          guard SecretSource.isVariableName(text) else {
            return "must be the name of an environment variable (A-Z a-z 0-9 _), not a value"
          }
          source = .environment(text)
        default:
          guard Identifier.isValid(text), text != ".", text != ".." else {
            return "must be the name of a systemd credential (\(Identifier.rule))"
          }
          source = .credential(text)
        }
        if let other = target[keyPath: field] {
          return "is one too many: \(prefix)_\(other.suffix) is given too; use one of them"
        }
        target[keyPath: field] = source
        return nil
      } show: {
        guard let source = $0[keyPath: field], source.suffix == suffix else { return nil }
        return tomlString(source.name)
      }
    }
    return kinds + [
      refused(
        prefix,
        "must not stand in a configuration file, which people copy and show; put it into a file "
          + "that only batchd may read and name that with \(prefix)_file, or use "
          + "\(prefix)_credential or \(prefix)_env")
    ]
  }

}
