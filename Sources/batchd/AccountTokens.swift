internal import FoundationEssentials

/// The accounts' tokens, read once from where the configuration says. After SIGHUP a new value is
/// built from the new configuration; lookups never wait for a disk.
///
/// Printing it, in any way, shows account names only.
struct AccountTokens: Sendable {
  private let tokens: [String: String]
  /// Why a configured account has no token here, by account.
  let problems: [String: String]

  init(
    _ accounts: [String: SecretSource],
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) {
    var tokens: [String: String] = [:]
    var problems: [String: String] = [:]
    for (account, source) in accounts {
      do {
        tokens[account] = try source.read(environment: environment)
      } catch {
        problems[account] = error.message
      }
    }
    self.tokens = tokens
    self.problems = problems
  }

  /// The token of `account`; nil when this worker has none, and `reason(for:)` says why.
  func token(of account: String) -> String? { tokens[account] }

  /// Why `token(of:)` has nothing for `account`, and what to do.
  func reason(for account: String) -> String {
    if let problem = problems[account] { return "no token for account \(account): \(problem)" }
    return "account \(account) is not configured on this worker: add [accounts.\(account)] with "
      + "token_file, token_credential or token_env, or a file \(account).toml in accounts_dir, "
      + "then reload"
  }
}

extension AccountTokens: CustomStringConvertible, CustomReflectable {
  var description: String {
    "tokens of \(tokens.keys.sorted()), none for \(problems.keys.sorted())"
  }

  var customMirror: Mirror { Mirror(self, children: []) }
}
