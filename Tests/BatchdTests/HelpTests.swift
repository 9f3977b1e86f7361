import Foundation
import Pipeline
import TestSupport
import Testing

/// What every command has in common: help that teaches, `--json`, completion.
@Suite struct HelpTests {
  private struct Help: Decodable {
    let command: Command
  }

  private struct Command: Decodable {
    let commandName: String
    let abstract: String?
    let discussion: String?
    let shouldDisplay: Bool
    let subcommands: [Command]?
    let arguments: [Argument]?
  }

  private struct Argument: Decodable {
    struct Name: Decodable {
      let name: String
    }
    let kind: String
    let abstract: String?
    let valueName: String?
    let names: [Name]?
    let completionKind: [String: JSONAnything]?
    let allValues: [String]?
    var name: String { names?.last?.name ?? valueName ?? "" }
  }

  /// Only that it is there counts.
  private struct JSONAnything: Decodable {
    init(from decoder: any Decoder) {}
  }

  /// Every command with the words that call it, but for those that only hold others.
  private static func commands() async throws -> [(path: String, command: Command)] {
    let harness = try TestFolder()
    let running = try RunningCommand(["--experimental-dump-help"], input: "", folder: harness.path)
    let text = try await running.outcome().output
    let help = try JSONDecoder().decode(Help.self, from: Data(text.utf8))
    func walk(_ command: Command, _ path: String) -> [(String, Command)] {
      let inner = (command.subcommands ?? []).filter { $0.commandName != "help" }
      let own = inner.isEmpty ? [(path, command)] : []
      return own + inner.flatMap { walk($0, "\(path) \($0.commandName)") }
    }
    return walk(help.command, help.command.commandName)
  }

  /// Those whose answer is not a value.
  private static let withoutJSON = [
    "batchd up": "runs until Ctrl-C and shows bars",
    "batchd work": "runs until it is stopped; its log tells",
  ]

  /// Values that no shell can know.
  private static let free: Set = [
    "account-field", "at", "attempt", "batch", "batch-size", "batches", "before", "delay", "error",
    "id", "inputs", "instance", "item", "items", "limit", "ms", "n|time", "n|time|all",
    "name-field",
    "payload", "prefix", "reason", "redis", "since", "size", "token-field", "wait-ms", "workers",
  ]

  @Test func everyCommandTeaches() async throws {
    let commands = try await Self.commands()
    #expect(commands.count > 15)
    var isUsed: Set<String> = []
    for (path, command) in commands {
      #expect(command.abstract?.isEmpty == false, "\(path) says nothing of itself")
      let hasExample = command.discussion?.contains("  \(path)") == true
      #expect(hasExample, "\(path) has no example")
      let arguments = command.arguments ?? []
      for argument in arguments {
        #expect(argument.abstract?.isEmpty == false, "\(path): \(argument.name) has no help")
        if argument.kind != "flag", argument.completionKind == nil, argument.allValues == nil {
          isUsed.insert(argument.name)
          #expect(Self.free.contains(argument.name), "\(path): \(argument.name) does not complete")
        }
      }
      let hasJSON = arguments.contains { $0.name == "json" }
      #expect(hasJSON != (Self.withoutJSON[path] != nil), "\(path): --json")
    }
    #expect(Self.free.subtracting(isUsed) == [])
  }

  /// What the script of that shell offers for the words of a line, the last of them begun.
  private static func offered(
    _ words: [String], _ harness: CommandHarness
  ) async throws -> Set<String> {
    let script = "\(harness.redis.folder)/batchd.bash"
    let line = words.map { "'\($0)'" }.joined(separator: " ")
    let output = try await harness.redis.shell(
      """
      bash -c '
      source "$0"
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
      _batchd "$1" "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$COMP_CWORD - 1]}" 2>/dev/null
      printf "%s\\n" "${COMPREPLY[@]}"' \(script) '\(RunningCommand.binary.path)' \(line)
      """)
    return Set(output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) })
  }

  @Test func bashCompletes() async throws {
    let harness = try await CommandHarness()
    let script = try await harness.command(["--generate-completion-script", "bash"]).outcome()
    let path = "\(harness.redis.folder)/batchd.bash"
    try Data(script.output.utf8).write(to: URL(filePath: path))
    _ = try await harness.redis.shell("bash -n \(path)")

    #expect(try await Self.offered(["enq"], harness) == ["enqueue"])
    #expect(try await Self.offered([""], harness).isSuperset(of: ["retry", "cancel", "rejected"]))
    #expect(try await Self.offered(["retry", "--st"], harness) == ["--stage", "--status"])
    #expect(try await Self.offered(["retry", "--status", "f"], harness) == ["failed"])
    #expect(
      try await Self.offered(["cancel", "--status", "p"], harness) == ["pending", "processing"])
    #expect(try await Self.offered(["rejected", "re"], harness) == ["reenter"])

    let there = ["--redis", harness.redis.url]
    for (key, member) in [("failed", "b7"), ("operations", "nightly"), ("leases", "r1")] {
      _ = try await harness.redis.cli("ZADD", "batchd:\(key)", "1", member)
    }
    _ = try await harness.redis.cli("HSET", "batchd:pipelines", "demo", "setup|setup")
    _ = try await harness.redis.cli("HSET", "batchd:lanes", "demo:acme", "r1")
    for (words, names) in [
      (["retry"] + there + ["b"], Set(["b7"])),
      (["retry"] + there + [""], ["b7", "operation:nightly"]),
      (["retry"] + there + ["operation", ":", "n"], ["nightly"]),
      (["cancel"] + there + ["r"], ["r1"]),
      (["enqueue"] + there + ["--operation", ""], ["nightly"]),
      (["enqueue"] + there + ["--account", ""], ["acme"]),
      (["pause"] + there + ["p"], ["pipeline:demo"]),
    ] {
      // Nobody at a prompt waits long for Redis: on a busy machine nothing may be offered, until the key is pressed again.
      await eventually("\(words) offers \(names)") {
        names.isSubset(of: try await Self.offered(words, harness))
      }
    }
    harness.redis.suspend()
    let start = ContinuousClock.now
    #expect(try await Self.offered(["retry"] + there + ["b"], harness) == [])
    #expect(ContinuousClock.now - start < .seconds(2) * Pace.slowness)
    harness.redis.resume()
  }

  /// A pipe gets plain text; a terminal gets colors unless NO_COLOR is set.
  @Test func colorsAreForTerminals() async throws {
    let harness = try await CommandHarness()
    try await harness.withWorker(handler: .init { _, _ in throw StageFailure() }) {
      for entry in ["{\u{1B}[31m", #"{"id":"b1"}"#, #"{"id":"b2","delay":3600}"#] {
        _ = try await harness.redis.cli("LPUSH", "batchd:enqueue", entry)
      }
      await eventually("they are there") {
        try await harness.redis.cli("ZCARD", "batchd:delayed") == "2"
      }
      let reading = [
        ["status"], ["rejected"], ["rejected", "show", "0", "--json"], ["doctor"],
        ["cancel", "--status", "pending"], ["pause", "all"], ["resume", "all"],
      ]
      for arguments in reading {
        let outcome = try await harness.start(arguments).outcome()
        #expect(!outcome.output.contains("\u{1B}"), "\(arguments)")
        #expect(!outcome.complaint.contains("\u{1B}"), "\(arguments)")
      }
      func terminal(_ arguments: [String], _ variables: String) async throws -> String {
        let line = (arguments + ["--redis", harness.redis.url]).joined(separator: " ")
        return try await harness.redis.shell(
          "\(variables) script -qec '\(RunningCommand.binary.path) \(line)' /dev/null </dev/null || true"
        )
      }
      for arguments in reading + [["rejected", "show", "0"]] {
        let shown = try await terminal(arguments, "TERM=xterm NO_COLOR=1")
        #expect(!shown.isEmpty && !shown.contains("\u{1B}"), "\(arguments): \(shown)")
      }
      #expect(try await terminal(["status"], "TERM=xterm NO_COLOR=").contains("\u{1B}["))
      #expect(try await !terminal(["status"], "TERM=dumb NO_COLOR=").contains("\u{1B}"))
    }
  }

  private struct StageFailure: Error {}
}
