import Foundation
import Testing

@testable import batchd

/// Accounts in the configuration and in `accounts_dir`, and the tokens behind them.
struct AccountTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func configuration(_ text: String) throws -> Configuration {
    try Configuration(file: folder.write(text, to: "config.toml"))
  }

  @Test func theFolderAddsAnAccountPerFile() throws {
    try folder.write("token_file = \"secrets/west\"", to: "accounts/acme.west.toml")
    try folder.write("token_env = \"GLOBEX\"", to: "accounts/globex.toml")
    try folder.write("not TOML at all", to: "accounts/globex.toml~")
    try folder.write("not TOML at all", to: "accounts/.globex.toml")
    let configuration = try configuration(
      "accounts_dir = \"accounts\"\n[accounts.initech]\ntoken_credential = \"initech\"")
    #expect(
      configuration.accounts == [
        "acme.west": .file("\(folder.path)/accounts/secrets/west"),
        "globex": .environment("GLOBEX"), "initech": .credential("initech"),
      ])
  }

  @Test func mistakesInTheFolderComeTogetherWithThoseOfTheFile() throws {
    try folder.write("\ntoken_fil = \"a\"", to: "accounts/a.toml")
    try folder.write("token = \"hunter2\"", to: "accounts/b.toml")
    try folder.write("token_env = ", to: "accounts/c.toml")
    try folder.write("", to: "accounts/d.toml")
    try folder.write("token_env = \"E\"", to: "accounts/e.toml")
    try folder.write("token_env = \"F\"", to: "accounts/f f.toml")
    let error = #expect(throws: ConfigurationError.self) {
      try configuration(
        "accounts_dir = \"accounts\"\nsize = 1\n[accounts.e]\ntoken_env = \"E\"")
    }
    let expected = [
      "config.toml:2: size: unknown key; ",
      "accounts/a.toml:2: token_fil: unknown key; did you mean token_file?",
      "accounts/b.toml:1: token: must not stand in a configuration file",
      "accounts/c.toml:1: not TOML: ",
      "accounts/d.toml: no token; ",
      "accounts/e.toml: the account stands in the main file too, ",
      "accounts/f f.toml: an account's name must be 1 to 128 characters",
    ]
    let lines = error?.message.split(separator: "\n").map(String.init) ?? []
    #expect(lines.count == expected.count)
    for (line, beginning) in zip(lines, expected) {
      #expect(line.hasPrefix("\(folder.path)/\(beginning)"))
    }
    #expect(error?.message.contains("hunter2") == false)
  }

  @Test func aFolderThatIsNotThereIsAnError() {
    let error = #expect(throws: ConfigurationError.self) {
      try configuration("\naccounts_dir = \"nowhere\"")
    }
    #expect(
      error?.message == "\(folder.path)/config.toml:2: accounts_dir: \(folder.path)/nowhere cannot "
        + "be listed; it must be a folder that this user may read")
  }

  @Test func tokensComeFromFileEnvironmentAndCredential() throws {
    let file = try folder.write("  file-token\n", to: "token")
    try folder.write("credential-token", to: "credentials/acme")
    let tokens = AccountTokens(
      ["a": .file(file), "b": .environment("B_TOKEN"), "c": .credential("acme")],
      environment: [
        "B_TOKEN": "env-token\r\n", "CREDENTIALS_DIRECTORY": "\(folder.path)/credentials",
      ])
    #expect(tokens.token(of: "a") == "file-token")
    #expect(tokens.token(of: "b") == "env-token")
    #expect(tokens.token(of: "c") == "credential-token")
    #expect(tokens.problems.isEmpty)
  }

  @Test func aCommandFindsTheCredentialWhereTheUnitHasItFrom() throws {
    try folder.write("of-the-store\n", to: "acme")
    let source = SecretSource.credential("acme")
    #expect(try source.read(environment: [:], credstore: folder.path) == "of-the-store")
    // A service has what its unit gives it, and nothing else.
    try folder.write("other", to: "given/other")
    let given = ["CREDENTIALS_DIRECTORY": "\(folder.path)/given"]
    #expect(throws: ConfigurationError.self) {
      try source.read(environment: given, credstore: folder.path)
    }
  }

  @Test func aMissingTokenIsNilWithAReason() throws {
    let empty = try folder.write(" \n", to: "empty")
    let lines = try folder.write("hunter2\nhunter3", to: "lines")
    let large = try folder.write(String(repeating: "x", count: 70_000), to: "large")
    let sources: [String: (SecretSource, String)] = [
      "missing": (.file("/nowhere/t"), "file /nowhere/t: No such file or directory"),
      "folder": (.file(folder.path), "file \(folder.path): Is a directory"),
      "empty": (.file(empty), "file \(empty): is empty; write the secret into it, on one line"),
      "lines": (.file(lines), "file \(lines): holds more than one line; a secret is one line"),
      "large": (.file(large), "file \(large): is over 65536 bytes"),
      "env": (
        .environment("NONE"),
        "environment variable NONE: is not set; set it for this process, or name a file or a credential"
      ),
      "unit": (
        .credential("acme"),
        "systemd credential acme: $CREDENTIALS_DIRECTORY is not set, and /etc/credstore/acme: No such file or directory; put the secret there and add LoadCredential=acme to the unit; run commands as root"
      ),
    ]
    let tokens = AccountTokens(sources.mapValues(\.0), environment: [:])
    for (account, (_, reason)) in sources {
      #expect(tokens.token(of: account) == nil)
      #expect(tokens.reason(for: account) == "no token for account \(account): \(reason)")
    }
    #expect(tokens.token(of: "other") == nil)
    #expect(tokens.reason(for: "other").contains("add [accounts.other]"))
  }

  @Test func tokensAreNeverShown() {
    let tokens = AccountTokens(["a": .environment("A")], environment: ["A": "hunter2"])
    #expect(tokens.token(of: "a") == "hunter2")
    var dumped = ""
    dump([tokens], to: &dumped)
    for text in ["\(tokens)", String(reflecting: tokens), "\([tokens])", dumped] {
      #expect(!text.contains("hunter2"))
      #expect(!text.isEmpty)
    }
  }
}
