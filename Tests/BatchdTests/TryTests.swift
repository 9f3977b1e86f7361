import Foundation
import Pipeline
import TestSupport
import Testing

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
    #expect(outcome.status == 65)
    #expect(outcome.lines.count { $0.hasPrefix("run    ") } == 2)
    #expect(outcome.lines.contains { $0.hasPrefix("out    item a done: ") })
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
