internal import ArgumentParser
internal import Pipeline

/// `batchd check-config [FILE]`: every problem of a configuration, or the configuration in effect.
struct CheckConfigCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-config",
    abstract: "Check a configuration file and show the settings in effect.",
    discussion: """
      Prints every setting, those of the file and the defaults of the rest, as TOML. Tokens and \
      passwords are shown as where they come from. Warns about those that this user cannot read.

        batchd check-config
        batchd check-config ./config.toml
        batchd check-config --json | jq .settings.limits

      Exit codes: 0 good, 66 the file cannot be read, 78 the file is wrong.
      """)

  @Argument(help: "The file.", completion: .file(extensions: ["toml"]))
  var file = Configuration.standardPath

  @Flag(help: "Answer in JSON.")
  var json = false

  func run() async throws {
    let configuration: Configuration
    do throws(ConfigurationError) {
      configuration = try Configuration(file: file)
    } catch {
      Terminal.complain(error.message)
      if json {
        let problems = error.message.split(separator: "\n").map { JSON.string(String($0)) }
        print(try CommonOptions.json(JSON.object(["problems": .array(problems)])))
      }
      // EX_NOINPUT and EX_CONFIG of sysexits(3).
      throw ExitCode(error.code == .unreadable ? 66 : 78)
    }
    let warnings = Self.unreadableSecrets(of: configuration)
    if json {
      let settings = try JSON(parsing: configuration.json.utf8)
      print(
        try CommonOptions.json(
          JSON.object(["settings": settings, "warnings": .array(warnings.map(JSON.string))])))
    } else {
      print(configuration.text, terminator: "")
    }
    for warning in warnings { Terminal.complain("warning: \(warning)") }
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
}
