internal import ArgumentParser
internal import Foundation
internal import Pipeline

/// `batchd check-config [FILE]`: every problem of a configuration, or the configuration in effect.
struct CheckConfigCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-config",
    abstract: "Check a configuration file and show the settings in effect.",
    discussion: """
      Prints every setting, those of the file and the defaults of the rest, as TOML. Tokens and \
      passwords are shown as where they come from. Warns about those that this user cannot read.

      Exit codes: 0 good, 66 the file cannot be read, 78 the file is wrong.
      """)

  @Argument(help: "The file.", completion: .file(extensions: ["toml"]))
  var file = Configuration.standardPath

  func run() async throws {
    let configuration: Configuration
    do throws(ConfigurationError) {
      configuration = try Configuration(file: file)
    } catch {
      Self.warn(error.message)
      // EX_NOINPUT and EX_CONFIG of sysexits(3).
      throw ExitCode(error.code == .unreadable ? 66 : 78)
    }
    print(configuration.text, terminator: "")
    for problem in Self.unreadableSecrets(of: configuration) { Self.warn("warning: \(problem)") }
  }

  /// Warnings and not errors: the user who checks is often not the one who will run it.
  private static func unreadableSecrets(of configuration: Configuration) -> [String] {
    let tokens = AccountTokens(configuration.accounts)
    var problems = tokens.problems.keys.sorted().map { tokens.reason(for: $0) }
    let passwords = [
      ("Redis", configuration.redis.password), ("Sentinel", configuration.redis.sentinelPassword),
    ]
    for (owner, password) in passwords {
      do throws(ConfigurationError) {
        _ = try password?.read()
      } catch {
        problems.append("no password for \(owner): \(error.message)")
      }
    }
    for (name, pipeline) in configuration.pipelines.sorted(by: { $0.key < $1.key }) {
      for (stage, settings) in pipeline.stages.sorted(by: { $0.key < $1.key }) {
        do throws(ConfigurationError) {
          _ = try settings.secret?.read()
        } catch {
          problems.append("pipelines.\(name).\(stage.rawValue): no secret: \(error.message)")
        }
      }
    }
    return problems
  }

  private static func warn(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
  }
}
