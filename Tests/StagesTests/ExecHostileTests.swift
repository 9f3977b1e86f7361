import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Stages

/// Commands that do what they should not. None takes the worker with it, and of none is anything left.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ExecHostileTests {
  @Test(arguments: ["yes | tr -d '\\n'", "cat /dev/zero", "exec yes ''"])
  func outputWithoutEndIsCutOff(_ script: String) async throws {
    let mark = Processes.mark
    var limits = Limits()
    limits.outputBytes = 1 << 16
    let called = try await Called.sh("\(script) # \(mark)", limits: limits) {
      $0.totalBytes = 1 << 20
    }
    #expect(
      called.text.contains("is longer than 266240 bytes")
        || called.text.contains("has more than 1048576 bytes"), "\(called.text)")
    #expect(called.lines == [])
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
  }

  @Test func errorsWithoutEndFillNeitherLogNorMemory() async throws {
    let before = Self.residentKibibytes
    let called = try await Called.sh(
      "head -c 60000000 /dev/zero >&2; yes err | head -c 4000000 >&2; exit 3")
    #expect(called.text.hasSuffix("err"))
    #expect(called.end.status == 3)
    #expect(called.log.map(\.utf8.count).reduce(0, +) < 1 << 19)
    #expect(called.log.last == "stderr goes on; not logged")
    #expect(Self.residentKibibytes - before < 50 << 10)
  }

  @Test(arguments: [
    "head -c 3000 /dev/urandom; exit 0", "printf '\\377\\376\\000'", "echo '<html>'; exit 65",
  ])
  func garbageIsNamedAndTriedAgain(_ script: String) async throws {
    let called = try await Called.sh(script)
    #expect(called.text.hasPrefix("retry: /bin/sh: line 1 of standard output is not JSON: "))
    #expect(called.text.hasSuffix("and all else to standard error)"))
  }

  @Test func halfALineIsRefusedAfterAGoodEndAndForgottenAfterACrash() async throws {
    let half = #"echo '{"item":"A1"}'; printf '{"item":"A'; "#
    let good = try await Called.sh(half + "exit 0")
    #expect(good.text.contains(#"line 2 of standard output is not JSON: {"item":"A "#))
    #expect(good.lines == [.item("A1", .done(.null))])
    let crashed = try await Called.sh(half + "kill -9 $$")
    #expect(crashed.text.contains("SIGKILL"))
    #expect(crashed.lines == [.item("A1", .done(.null))])
    // A whole line without its newline is whole all the same.
    let whole = try await Called.sh(#"printf '{"item":"A1"}'; exit 75"#)
    #expect(whole.lines == [.item("A1", .done(.null))])
  }

  @Test func aLineOfAMebibyteIsTaken() async throws {
    let called = try await Called.sh(
      #"printf '{"item":"A1","output":"'; head -c 1048000 /dev/zero | tr '\0' x; echo '"}'"#)
    guard case .item("A1", .done(.string(let text)))? = called.lines.first else {
      Issue.record("\(called.text)")
      return
    }
    #expect(text.utf8.count == 1_048_000)
    #expect(called.end.verdict == .done)
  }

  /// 64 MiB of input for who does not want it: closed, not read, or its end not waited for.
  @Test(arguments: ["exec <&-; sleep 0.3", "sleep 0.3", "head -c 10 >/dev/null", "exit 0"])
  func inputNeedNotBeRead(_ script: String) async throws {
    let called = try await Called.sh(script, items: ["A1"], inputs: Self.large)
    #expect(called.end == HandlerEnd(verdict: .done, status: 0))
  }

  @Test func aLargeInputArrivesWhole() async throws {
    let called = try await Called.sh(
      #"printf '{"output":%s}' "$(wc -c)""#, items: ["A1"], inputs: Self.large)
    guard case .output(.integer(let count))? = called.lines.first else {
      Issue.record("\(called.text)")
      return
    }
    #expect(count > 64 << 20)
  }

  /// Its inputs are 1 GiB: they cannot have been in memory together.
  @Test func aHugeInputIsNeverHeld() async throws {
    let before = Self.residentKibibytes
    let megabyte = Array("\"\(String(repeating: "x", count: (1 << 20) - 2))\"".utf8)
    let ids = (0..<1_024).map { "I\($0)" }
    let inputs = HandlerInputs(
      output: { _ in nil }, items: { $0 == .setup ? ids : [] },
      outputs: { _, some in some.map { _ in megabyte } })
    let handler = try ExecHandler(
      ExecConfiguration(command: ["/bin/sh", "-c", #"printf '{"output":%s}' "$(wc -c)""#]),
      retries: 0)
    var lines: [HandlerLine] = []
    _ = try await handler.call(
      HandlerCall(.test(items: ["A1"]), inputs: inputs), logger: Recorder().logger
    ) { lines += $0 }
    guard case .output(.integer(let count))? = lines.first else {
      Issue.record("\(lines)")
      return
    }
    #expect(count > 1 << 30)
    #expect(Self.residentKibibytes - before < 300 << 10)
  }

  /// A fault in the inputs ends the command, and is what the caller hears.
  @Test func inputsThatCannotBeReadEndTheCall() async throws {
    struct Gone: Error {}
    let mark = Processes.mark
    let handler = try ExecHandler(
      ExecConfiguration(command: ["/bin/sh", "-c", "sleep \(mark)"]), retries: 0)
    let inputs = HandlerInputs(
      output: { _ in throw Gone() }, items: { _ in [] }, outputs: { _, _ in [] })
    await #expect(throws: Gone.self) {
      _ = try await handler.call(
        HandlerCall(.test(items: ["A1"]), inputs: inputs), logger: Recorder().logger
      ) { _ in }
    }
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
  }

  /// As when the lease is lost while a line is kept.
  @Test func aReportThatCannotBeKeptEndsTheCommand() async throws {
    let mark = Processes.mark
    let handler = try ExecHandler(
      ExecConfiguration(command: ["/bin/sh", "-c", "echo '{\"item\":\"A1\"}'; sleep \(mark)"]),
      retries: 0)
    await #expect(throws: CancellationError.self) {
      _ = try await handler.call(
        HandlerCall(.test(items: ["A1"]), inputs: HandlerInputs(.null)), logger: Recorder().logger
      ) { _ in throw CancellationError() }
    }
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
  }

  private static let large = JSON.object([
    "setup": .object(["output": .string(String(repeating: "x", count: 64 << 20))])
  ])

  private static var residentKibibytes: Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    return status.firstMatch(of: /VmRSS:\s+(\d+) kB/).flatMap { Int($0.1) } ?? 0
  }
}
