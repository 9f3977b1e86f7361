internal import ArgumentParser
internal import Foundation
internal import Pipeline

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// `batchd import accounts FILE`
struct ImportAccounts: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "accounts",
    abstract: "Write a file and a token file for each account.",
    discussion: """
      Makes NAME.toml and NAME.token in the folder that accounts_dir names; the token is readable by \
      the folder's owner and group alone. An account that is configured already stays. Workers read \
      them at their next start or reload (systemctl reload 'batchd@*').

        batchd import accounts accounts.ndjson --dir /etc/batchd/accounts
        batchd import accounts accounts.ndjson --name-field company --token-field workizToken

      All lines are looked at before the first file is written. Exit codes: 0 done, 65 a line is no \
      account, 66 no such file, 73 the folder cannot be written to.
      """)

  @Argument(help: "One JSON object a line; - is standard input.", completion: .file())
  var file: String

  @Option(help: "The folder (default: accounts_dir of the configuration).", completion: .directory)
  var dir: String?

  @Option(help: "The member that holds the account's name.")
  var nameField = "name"

  @Option(help: "The member that holds the API token.")
  var tokenField = "token"

  @Option(
    help: ArgumentHelp(
      "The configuration file (default: \(Configuration.standardPath) if there is one).",
      valueName: "file"), completion: .file(extensions: ["toml"]))
  var config: String?

  @Flag(help: "Answer in JSON.")
  var json = false

  private struct Report: Encodable {
    var added: [String] = []
    var known: [String] = []
  }

  func run() async throws {
    let configuration = try CommonOptions.file(config).map { try Configuration(file: $0) }
    guard let folder = dir ?? configuration?.accountsDirectory else {
      throw CommandError(
        .configuration,
        "where to? Name a folder by --dir, and by accounts_dir in the configuration of the workers")
    }
    let tokens = try tokens()
    var report = Report()
    for (name, token) in tokens.sorted(by: { $0.key < $1.key }) {
      let path = "\(folder)/\(name).toml"
      if configuration?.accounts[name] != nil || FileManager.default.fileExists(atPath: path) {
        report.known.append(name)
        continue
      }
      // The token first: a worker that reads meanwhile must not find an account without one.
      try Self.write("\(token)\n", to: "\(folder)/\(name).token", in: folder)
      try Self.write("token_file = \(tomlString("\(name).token"))\n", to: path, in: folder)
      report.added.append(name)
    }
    if !json && configuration?.accountsDirectory == nil {
      Terminal.complain(
        "workers find them by accounts_dir = \(tomlString(folder)) in their configuration")
    }
    print(
      json
        ? try CommonOptions.json(report)
        : "\(Wording.count(report.added.count, "account", "accounts")) added, \(Wording.count(report.known.count)) known already"
    )
  }

  /// Each account's token. Never in a message.
  private func tokens() throws -> [String: String] {
    var tokens: [String: String] = [:]
    var lines = try NDJSONLines(file)
    while let line = try lines.next() {
      func refused(_ reason: String) -> CommandError {
        CommandError(.data, "line \(line.number): \(reason); nothing was written")
      }
      guard let object = line.object?.mapValues(\.withoutMongoTypes) else {
        throw refused("not a JSON object")
      }
      func text(_ field: String, _ option: String) throws -> String {
        guard let text = object[field]?.string, !text.isEmpty else {
          let others = object.keys.sorted().joined(separator: ", ")
          throw refused("no text in “\(field)” (it has \(others)): name the member by \(option)")
        }
        return text
      }
      let name = try text(nameField, "--name-field")
      guard Identifier.isValid(name), !name.hasPrefix(".") else {
        throw refused(
          "the account's name “\(name)” must be \(Identifier.rule), and begin with no dot")
      }
      let token = try text(tokenField, "--token-field").trimmingCharacters(
        in: .whitespacesAndNewlines)
      guard token.unicodeScalars.allSatisfy({ (0x21...0x7E).contains($0.value) }) else {
        throw refused("the token of \(name) is not one word of ASCII")
      }
      guard tokens.updateValue(token, forKey: name) ?? token == token else {
        throw refused("account \(name) stands there twice, with two tokens")
      }
    }
    guard !tokens.isEmpty else { throw CommandError(.data, "\(file) holds no account") }
    return tokens
  }

  /// Writes a file that only its owner and group can read: those of the folder, for root writes what workers read.
  private static func write(_ text: String, to path: String, in folder: String) throws {
    var owner = stat()
    guard stat(folder, &owner) == 0 else {
      let reason = String(cString: strerror(errno))
      throw CommandError(
        .cannotCreate,
        "cannot write into \(folder): \(reason); make it first: install -d -o batchd -g batchd -m 750 \(folder)"
      )
    }
    do throws(WholeFile.Failure) {
      try WholeFile.write(
        Array(text.utf8), to: path, owner: getuid() == 0 ? (owner.st_uid, owner.st_gid) : nil)
    } catch {
      throw CommandError(.cannotCreate, "cannot write \(error.path): \(error.reason)")
    }
  }
}
