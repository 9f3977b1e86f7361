import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Stages

/// A command and what it makes of its input, its environment and its exit code.
@Suite(.serialized, .timeLimit(.minutes(3))) struct ExecHandlerTests {
  @Test func readsItsInputAndReportsLineByLine() async throws {
    let inputs = JSON.object(["setup": .object(["output": .string("s")])])
    let called = try await Called.sh(
      """
      read -r input
      printf '{"item":"A1","output":%s}\\n' "$input"
      echo '{"item":"A2","error":"broken","retry":false}'
      echo '{"output":[1]}'
      """, inputs: inputs)
    #expect(called.end == HandlerEnd(verdict: .done, status: 0))
    #expect(called.lines.count == 3)
    guard case .item("A1", .done(let input)) = called.lines[0] else {
      Issue.record("\(called.lines)")
      return
    }
    #expect(input["inputs"] == inputs)
    #expect(input["items"] == .array([.string("A1"), .string("A2")]))
    #expect(called.lines[1] == .item("A2", .failed("broken")))
    #expect(called.lines[2] == .output(.array([.integer(1)])))
  }

  /// Each line is given on while the command still works: it goes on when a file shows that the first was taken.
  @Test func aLineIsGivenOnBeforeTheNextComes() async throws {
    let folder = try TestFolder()
    let handler = try ExecHandler(
      ExecConfiguration(command: [
        "/bin/sh", "-c",
        #"echo '{"item":"A1"}'; until [ -e "$0" ]; do sleep 0.01; done; echo '{"item":"A2"}'"#,
        "\(folder.path)/taken",
      ]), retries: 0)
    var reports: [[HandlerLine]] = []
    let end = try await handler.call(
      HandlerCall(.test(items: ["A1", "A2"]), inputs: HandlerInputs(.null)),
      logger: Recorder().logger
    ) { lines in
      reports.append(lines)
      #expect(FileManager.default.createFile(atPath: "\(folder.path)/taken", contents: nil))
    }
    #expect(end.verdict == .done)
    #expect(reports == [[.item("A1", .done(.null))], [.item("A2", .done(.null))]])
  }

  @Test func aThousandLinesComeAtMostAHundredAtATime() async throws {
    let items = (1...1_000).map { "I\($0)" }
    let called = try await Called.sh(
      #"cat >/dev/null; seq 1000 | sed 's/.*/{"item":"I&"}/'"#, items: items)
    #expect(called.lines == items.map { .item($0, .done(.null)) })
    #expect(called.reports.allSatisfy { $0.count <= 100 })
    #expect(called.reports.count < 500)
  }

  @Test func oneObjectMayTakeManyLines() async throws {
    let called = try await Called.sh(#"printf '{\n  "output":\n  {"a": 1}\n}'"#)
    #expect(called.lines == [.output(.object(["a": .integer(1)]))])
    #expect(called.end.verdict == .done)
  }

  @Test func nothingToSayIsDone() async throws {
    for command in [["true"], ["/bin/cat", "/dev/null"]] {
      let called = try await Called.command(command)
      #expect(called.end == HandlerEnd(verdict: .done, status: 0))
      #expect(called.lines == [])
    }
  }

  @Test func theEnvironmentIsOnlyWhatIsConfigured() async throws {
    setenv("EXEC_TEST_PASSED", "yes", 1)
    setenv("EXEC_TEST_KEPT", "no", 1)
    let called = try await Called.sh(
      #"cat >/dev/null; exec env >&2"#, items: ["A 1"]
    ) {
      $0.environment = ["GREETING": "a=b c", "PYTHONUNBUFFERED": ""]
      $0.passEnvironment = ["EXEC_TEST_PASSED", "EXEC_TEST_UNSET"]
      $0.configurationPath = "/etc/batchd/config.toml"
    }
    // The shell's own.
    let found = called.log.filter { !$0.hasPrefix("PWD=") }
    #expect(
      found.sorted() == [
        "BATCHD_ACCOUNT=", "BATCHD_ATTEMPT=3", "BATCHD_BATCH=b1",
        "BATCHD_CONFIG=/etc/batchd/config.toml", "BATCHD_FENCE=4-5", "BATCHD_ITEM=A 1",
        "BATCHD_OPERATION=op", "BATCHD_PIPELINE=demo", "BATCHD_RUN=2", "BATCHD_STAGE=annotation",
        "EXEC_TEST_PASSED=yes", "GREETING=a=b c",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONUNBUFFERED=",
      ])
    // Several items are not one.
    let several = try await Called.command(["printenv", "BATCHD_ITEM"])
    #expect(several.end.status == 1)
    #expect(several.lines == [])
  }

  @Test func noShellReadsTheArguments() async throws {
    let words = ["$HOME", "`id`", "a b", "*", ";", ""]
    let called = try await Called.command(
      ["/usr/bin/printf", "{\"output\":\"%s|%s|%s|%s|%s|%s\"}"] + words)
    #expect(called.lines == [.output(.string("$HOME|`id`|a b|*|;|"))])
  }

  @Test func runsInItsDirectory() async throws {
    let folder = try TestFolder()
    let script = "\(folder.path)/say"
    try "#!/bin/sh\nprintf '{\"output\":\"%s\"}' \"$(pwd)\"\n".write(
      toFile: script, atomically: true, encoding: .utf8)
    chmod(script, 0o755)
    let called = try await Called.command(["./say"]) { $0.directory = folder.path }
    #expect(called.lines == [.output(.string(folder.path))])
    let gone = try await Called.command(["./say"]) { $0.directory = "/nowhere/at/all" }
    #expect(gone.text.hasPrefix("retry: ./say: there is no directory /nowhere/at/all"))
  }

  @Test(arguments: [
    (0, "done"), (65, "permanent: /bin/sh failed for good (exit code 65): why"),
    (75, "retry: /bin/sh asks for another try (exit code 75): why"),
    (1, "retry: /bin/sh exited with 1: why"), (255, "retry: /bin/sh exited with 255: why"),
    (127, "retry: /bin/sh exited with 127 (a command of it was not found): why"),
  ])
  func theExitCodeDecides(_ code: Int, _ text: String) async throws {
    let called = try await Called.sh(#"echo '{"item":"A1"}'; echo why >&2; exit \#(code)"#)
    #expect(called.text == text)
    #expect(called.end.status == code)
    #expect(called.end.errorTail == "why")
    // Whatever it came to, what it said before counts.
    #expect(called.lines == [.item("A1", .done(.null))])
  }

  @Test func aSignalIsNamed() async throws {
    let killed = try await Called.sh("kill -9 $$")
    #expect(
      killed.text
        == "retry: /bin/sh was ended by SIGKILL (if nobody did that, the kernel was out of memory: journalctl -k)"
    )
    #expect(killed.end.status == nil)
    let crashed = try await Called.sh("ulimit -c 0; kill -SEGV $$")
    #expect(crashed.text == "retry: /bin/sh was ended by SIGSEGV")
    let other = try await Called.sh("kill -USR1 $$")
    #expect(other.text == "retry: /bin/sh was ended by signal 10")
  }

  @Test func whatCannotRunIsNamedWithWhereItWasLookedFor() async throws {
    let missing = try await Called.command(["no-such-program"]) {
      $0.environment["PATH"] = "/bin:/opt"
    }
    #expect(missing.text == "retry: no-such-program: no-such-program is in none of /bin:/opt")
    let absolute = try await Called.command(["/no/such"])
    #expect(absolute.text == "retry: /no/such: there is no /no/such")
    let folder = try TestFolder()
    let file = "\(folder.path)/program"
    try "not a program".write(toFile: file, atomically: true, encoding: .utf8)
    chmod(file, 0o755)
    let broken = try await Called.command([file])
    #expect(broken.text == "retry: \(file): cannot start \(file): Exec format error")
    let folderItself = try await Called.command([folder.path])
    #expect(folderItself.text.hasSuffix("Permission denied"))
    #expect(folderItself.end.status == nil)
  }

  @Test func theLogHasTheErrorsAndTheMessageTheirEnd() async throws {
    let called = try await Called.sh(
      "for i in $(seq 300); do echo \"line $i\" >&2; done; printf last >&2; exit 1")
    #expect(called.log.first == "line 1")
    #expect(called.log.last == "last")
    #expect(called.log.count == 301)
    #expect(called.end.errorTail.utf8.count <= 1_024)
    #expect(called.end.errorTail.hasPrefix("line "))
    #expect(called.end.errorTail.hasSuffix("line 299\nline 300\nlast"))
    // No longer than an error may be, and what matters stands at its end.
    #expect(called.text.utf8.count <= Limits().errorBytes + "retry: ".utf8.count)
    #expect(called.text.hasSuffix("last"))
  }

  @Test func settingsThatCannotBeAreRefused() throws {
    func refusal(_ change: (inout ExecConfiguration) -> Void) -> String? {
      var configuration = ExecConfiguration(command: ["true"])
      change(&configuration)
      do {
        _ = try ExecHandler(configuration, retries: 0)
        return nil
      } catch { return error.message }
    }
    #expect(refusal { _ in } == nil)
    #expect(refusal { $0.command = [] }?.contains("must name a program") == true)
    #expect(refusal { $0.command = [""] }?.contains("must name a program") == true)
    #expect(refusal { $0.command = ["a", "b\0"] }?.contains("NUL") == true)
    #expect(refusal { $0.environment = ["A=B": "x"] }?.contains("'A=B' cannot be") == true)
    #expect(refusal { $0.passEnvironment = [""] }?.contains("cannot be the name") == true)
    #expect(refusal { $0.environment = ["BATCHD_RUN": "1"] }?.contains("batchd's own") == true)
    #expect(refusal { $0.totalBytes = 0 }?.contains("above 0") == true)
  }
}
