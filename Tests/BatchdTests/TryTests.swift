import Foundation
import Pipeline
import TestSupport
import Testing

@testable import batchd

/// A handler tried by hand, as a person does who writes one.
@Suite struct TryTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs `batchd try demo.STAGE` on a stage table of this text.
  private func attempt(
    _ stage: String, _ arguments: String..., name: String = "extraction"
  ) async throws -> CommandHarness.Outcome {
    let file = try folder.write("[pipelines.demo.\(name)]\n\(stage)\n", to: "config.toml")
    let command = try RunningCommand(
      ["try", "demo.\(name)", "--config", file] + arguments, input: "", folder: folder.path)
    return try await command.outcome()
  }

  private static func shell(_ script: String, _ more: String = "") -> String {
    "handler = \"exec\"\ncommand = [\"sh\", \"-c\", '''\(script)''']\n\(more)"
  }

  @Test func aCommandIsShownWithWhatItReadsAndWrites() async throws {
    let outcome = try await attempt(
      Self.shell(#"cat >got; echo hm >&2; echo '{"item":"a","output":[1]}'; pwd >where"#),
      "--item", "a", "--item", "b", "--payload", #"{"x":1}"#, "--inputs",
      #"{"setup":{"output":7}}"#, "--account", "acme")
    #expect(outcome.status == 0)
    #expect(outcome.complaint == "")
    let lines = outcome.lines
    #expect(lines.contains("err    hm"))
    #expect(lines.contains("out    item a done: [1]"))
    #expect(lines.last == "       done: items that were not reported count as done")
    #expect(lines.contains { $0.hasPrefix("end    exit code 0 in ") })
    let got = try JSON(parsing: Data(contentsOf: URL(filePath: "\(folder.path)/got")))
    #expect(got["items"] == .array([.string("a"), .string("b")]))
    #expect(got["payload"]?["x"] == .integer(1) && got["account"] == .string("acme"))
    #expect(got["inputs"]?["setup"]?["output"] == .integer(7))
    #expect(lines.contains { $0.hasPrefix("in     {") && $0.contains(#""items":["a","b"]"#) })
    let place = try String(contentsOfFile: "\(folder.path)/where", encoding: .utf8)
    #expect(place.hasSuffix("\(folder.path)\n"), "the folder of the configuration")
  }

  @Test func verdictsAreExitCodes() async throws {
    let permanent = try await attempt(Self.shell("echo no such >&2; exit 65"), "--json")
    #expect(permanent.status == 65)
    let json = try JSON(parsing: Array(permanent.output.utf8))
    #expect(json["verdict"] == .string("permanent") && json["status"] == .integer(65))
    #expect(json["stderr"] == .string("no such\n") && json["lines"] == .array([]))
    #expect(json["reason"]?.string?.contains("no such") == true)
    let again = try await attempt(Self.shell("exit 75"))
    #expect(again.status == 75)
    #expect(again.lines.last?.contains("a worker would try again, up to 3 times") == true)
    let late = try await attempt(Self.shell("sleep 60", "timeout_ms = 300"))
    #expect(late.status == 75)
    #expect(late.lines.last?.hasSuffix("timed out after 300 ms (timeout_ms)") == true)
  }

  @Test func itemsOneByOne() async throws {
    let outcome = try await attempt(
      Self.shell(#"[ $BATCHD_ITEM = b ] && exit 65; echo '{"output":"$BATCHD_ITEM"}'"#)
        + "feed = \"item\"", "--item", "a", "--item", "b")
    // What fails one item alone does not fail the batch.
    #expect(outcome.status == 0)
    #expect(outcome.lines.count { $0.hasPrefix("run    ") } == 2)
    #expect(outcome.lines.contains { $0.hasPrefix("out    item a done: ") })
    #expect(outcome.lines.contains { $0.hasPrefix("       failed for good: ") })
    #expect(
      outcome.lines.last == "all    done: 1 item failed for good: ends completed_with_errors")
    let none = try await attempt(
      Self.shell("exit 65", "feed = \"item\""), "--item", "a", "--item", "b")
    #expect(none.status == 65)
    #expect(none.lines.last == "all    failed for good: all 2 items failed")
    let one = try await attempt(
      Self.shell(#"echo '{"item":"a","error":"no"}'"#, "feed = \"item\""), "--item", "a")
    #expect(one.status == 75)
    #expect(one.lines.last?.hasSuffix("up to 3 times: no") == true)
  }

  /// A handler that ends well may still have reported what costs an attempt, or the batch.
  @Test(arguments: [
    (
      [#"{"item":"a"}"#, #"{"item":"b","error":"later"}"#], 75,
      "a worker would try again, up to 3 times: 1 item failed, b: later"
    ),
    (
      [#"{"item":"a","error":"x","retry":false}"#, #"{"item":"b","error":"y","retry":false}"#], 65,
      "failed for good: all 2 items failed"
    ),
    (
      [#"{"item":"a","error":"x","retry":false}"#], 0,
      "done: 1 item failed for good: ends completed_with_errors"
    ),
    (
      [#"{"item":"a","output":"\#(long)"}"#], 0,
      "done: 1 item failed for good: ends completed_with_errors"
    ),
    (
      [#"{"output":"\#(long)"}"#], 65,
      "failed for good: the stage's output has 2002 bytes, the limit is 1024 (output_bytes)"
    ),
  ])
  func linesCountAsTheEndDoes(_ lines: [String], _ status: Int32, _ words: String) async throws {
    let script = lines.map { "echo '\($0)'" }.joined(separator: "; ")
    let outcome = try await attempt(
      Self.shell(script, "output_bytes = 1024"), "--item", "a", "--item", "b")
    #expect(outcome.status == status)
    #expect(outcome.lines.last == "       \(words)")
  }

  private static let long = String(repeating: "x", count: 2_000)

  @Test func anOutputOverTheLimitFailsItsItem() async throws {
    let stage = Self.shell(#"echo '{"item":"a","output":"\#(Self.long)"}'"#, "output_bytes = 1024")
    let outcome = try await attempt(stage, "--item", "a")
    #expect(outcome.status == 65)
    #expect(
      outcome.lines.contains(
        "out    item a failed for good: its output has 2002 bytes, the limit is 1024 (output_bytes)"
      ))
    let json = try JSON(
      parsing: Array(try await attempt(stage, "--item", "a", "--item", "b", "--json").output.utf8))
    #expect(json["verdict"] == .string("done"))
    #expect(json["reason"]?.string?.contains("1 item failed for good") == true)
  }

  @Test func controlCharactersDoNotReachTheTerminal() async throws {
    let outcome = try await attempt(
      Self.shell(#"printf '\033[31mhm\n' >&2; echo '{"item":"a","error":"\u001b[31mno"}'"#),
      "--item", "a")
    #expect(!outcome.output.contains("\u{1B}"))
    #expect(outcome.lines.contains("out    item a failed, to be tried again:  [31mno"))
  }

  @Test func inputsThatNoHandlerWouldSeeAreRefused() async throws {
    for (inputs, words) in [
      ("[]", "--inputs: must be an object of stages, not an array"),
      (#"{"setpu":{}}"#, "\"setpu\" is no stage before extraction: there are setup"),
      (#"{"extraction":{}}"#, "\"extraction\" is no stage before extraction"),
      (#"{"setup":7}"#, "\"setup\" must be an object, not"),
      (#"{"setup":{"item":{}}}"#, "\"setup\" has a field \"item\"; there are output and items"),
      (#"{"setup":{"items":["a"]}}"#, "the items of \"setup\" must be an object of outputs by"),
    ] {
      let outcome = try await attempt(Self.shell("true"), "--inputs", inputs)
      #expect(outcome.status == 65 && outcome.complaint.contains(words), "\(outcome.complaint)")
    }
    let first = try await attempt(
      Self.shell("true"), "--inputs", #"{"setup":{}}"#, name: "setup")
    #expect(first.complaint.contains("there is none"))
  }

  @Test func theUsualFileIsNamedToTheHandlerToo() throws {
    let usual = try folder.write("", to: "usual.toml")
    #expect(CommonOptions.file(nil, otherwise: usual) == usual)
    #expect(CommonOptions.file("own.toml", otherwise: usual) == "own.toml")
    #expect(CommonOptions.file(nil, otherwise: "\(folder.path)/none.toml") == nil)
  }

  @Test func anEndpointIsPosted() async throws {
    try await Endpoint.with { _ in
      .init(pieces: [#"{"output":{"ok":true}}"#])
    } use: { it, url in
      let outcome = try await attempt("handler = \"http\"\nurl = \"\(url)\"", "--item", "a")
      #expect(outcome.status == 0, "\(outcome.complaint)")
      // What follows the path may be a secret.
      let shown = url.split(separator: "?")[0]
      #expect(outcome.lines.first == "run    POST \(shown)")
      #expect(outcome.lines.contains(#"out    the stage's output: {"ok":true}"#))
      #expect(it.requests[0].header("idempotency-key") == "try/1/extraction")
    }
  }

  @Test func whatCannotBeTriedSaysWhy() async throws {
    let unknown = try await RunningCommand(
      ["try", "demo.metadata", "--config", folder.write("", to: "c.toml")], input: "",
      folder: folder.path
    ).outcome()
    #expect(unknown.status == 78)
    #expect(unknown.complaint.contains("known: workiz.setup, workiz.extraction"))
    let pass = try await attempt("handler = \"pass\"")
    #expect(pass.status == 65 && pass.complaint.contains("there is nothing to try"))
    let twice = try await attempt(Self.shell("true"), "--items", #"["a","a"]"#)
    #expect(twice.status == 65 && twice.complaint.contains("stands at items[0] already"))
    let broken = try await attempt(Self.shell("true"), "--payload", "{")
    #expect(broken.status == 65 && broken.complaint.contains("--payload is not JSON"))
  }
}
