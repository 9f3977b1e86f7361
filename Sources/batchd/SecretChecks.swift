internal import FoundationEssentials
internal import Pipeline
internal import Queue

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// What doctor can see of secrets on this host.
extension Configuration {
  /// Every secret that the configuration names, by its key.
  private var secrets: [(key: String, source: SecretSource)] {
    let own = [
      ("redis.password", redis.password), ("redis.sentinel_password", redis.sentinelPassword),
      ("store.password", store.password),
    ]
    let stages = pipelines.flatMap { name, pipeline in
      pipeline.stages.map { ("pipelines.\(name).\($0.rawValue).secret", $1.secret) }
    }
    let tokens = accounts.map { ("accounts.\($0)", Optional($1)) }
    return (own + stages + tokens).compactMap { key, source in source.map { (key, $0) } }
      .sorted { $0.key < $1.key }
  }

  /// Whether every secret can be read, and by nobody else.
  func checkSecrets() -> Area {
    let secrets = secrets
    var area = Area(
      "secrets",
      secrets.isEmpty
        ? "none is configured"
        : "\(Wording.count(accounts.count, "account", "accounts")), \(Wording.count(secrets.count - accounts.count, "other", "others"))",
      findings: exposedSecrets())
    for (key, source) in secrets {
      do {
        _ = try source.read()
      } catch {
        if source.isOfTheUnit {
          area.notes.append(
            "\(key): \(source.place) is the worker's own; its log says at the start when it has none"
          )
        } else {
          area.findings.append(
            Finding(key, "has no secret here: \(error.message)", remedy: source.remedy))
        }
      }
    }
    return area
  }

  /// Files with secrets that any user of this host can read or change.
  func exposedSecrets() -> [Finding] {
    secrets.compactMap { key, source in
      guard case .file(let path) = source, SecretSource.isOpenToAll(path) else { return nil }
      return Finding(
        key, "can be read or changed by every user of this host: \(path)",
        remedy: "chmod o= \(path), and change the secret if others use this host")
    }
  }
}

extension SecretSource {
  /// Whether this process was never given what a unit of systemd gives to its own.
  fileprivate var isOfTheUnit: Bool {
    let environment = ProcessInfo.processInfo.environment
    return switch self {
    case .file: false
    case .environment(let name): environment[name] == nil
    case .credential: environment["CREDENTIALS_DIRECTORY"] == nil
    }
  }

  fileprivate var place: String {
    switch self {
    case .file(let path): path
    case .environment(let name): "the environment variable \(name)"
    case .credential(let name): "the systemd credential \(name)"
    }
  }

  fileprivate var remedy: String {
    switch self {
    case .file(let path):
      "put it there as one line that batchd's user alone may read (install -m 0400 -o batchd FILE \(path)), then reload the workers"
    case .environment(let name): "set \(name) in the unit, or name a file, then restart the workers"
    case .credential(let name):
      "LoadCredential=\(name):FILE in the unit, one line in the file, then restart the workers"
    }
  }

  /// Whether its mode lets anybody at the file who can come to it through the folders above.
  fileprivate static func isOpenToAll(_ path: String) -> Bool {
    func allows(_ bits: mode_t, _ path: String) -> Bool {
      var status = stat()
      return stat(path, &status) == 0 && status.st_mode & bits != 0
    }
    guard allows(0o006, path) else { return false }
    var folder = DiskSpace.folder(of: path)
    while folder != "/" && folder != "." {
      guard allows(0o001, folder) else { return false }
      folder = DiskSpace.folder(of: folder)
    }
    return true
  }
}
