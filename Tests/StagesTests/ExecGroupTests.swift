import Foundation
import Pipeline
import Synchronization
import TestSupport
import Testing

@testable import Stages

/// What a command starts ends with it, and it ends when it is told to.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ExecGroupTests {
  /// Runs a script until its first line, then cancels it.
  /// - Returns: how long its end took.
  private func cancelled(_ script: String, mark: String) async throws -> Duration {
    let began = AsyncStream.makeStream(of: Void.self)
    let task = Task {
      let handler = try ExecHandler(
        ExecConfiguration(command: ["/bin/sh", "-c", script]), retries: 0)
      _ = try await handler.call(
        HandlerCall(.test(items: ["A1"]), inputs: HandlerInputs(.null)), logger: Recorder().logger
      ) { _ in began.continuation.yield() }
    }
    for await _ in began.stream { break }
    #expect(!Processes.with(mark).isEmpty)
    let start = ContinuousClock.now
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    let took = ContinuousClock.now - start
    // Killed, but perhaps still on its way out.
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
    return took
  }

  /// The shortest of a few tries: how long it takes is judged while the machine is not busy with other tests.
  private func shortest(_ script: (String) -> String, below limit: Duration) async throws
    -> Duration
  {
    var best = Duration.seconds(3_600)
    var round = 0
    while best >= limit, round < 4 {
      round += 1
      let mark = Processes.mark
      best = min(best, try await cancelled(script(mark), mark: mark))
    }
    return best
  }

  @Test func cancellationEndsTheWholeSession() async throws {
    let limit = Duration.milliseconds(900)
    let took = try await shortest(
      { mark in
        "sleep \(mark) & (sleep \(mark) & sleep \(mark)) & echo '{\"item\":\"A1\"}'; wait"
      }, below: limit)
    #expect(took < limit)
  }

  /// SIGTERM may be used to clean up; who does not end by it is killed in time for the worker, which waits for two
  /// seconds.
  @Test func whoIgnoresSIGTERMIsKilled() async throws {
    let limit = Duration.milliseconds(1_900)
    let took = try await shortest(
      { mark in
        "trap '' TERM; sleep \(mark) & echo '{\"item\":\"A1\"}'; while :; do sleep \(mark); done"
      }, below: limit)
    #expect(took >= .milliseconds(900) && took < limit)
  }

  @Test func itHasTimeToCleanUp() async throws {
    let folder = try TestFolder()
    let file = "\(folder.path)/cleaned"
    let mark = Processes.mark
    _ = try await cancelled(
      "trap 'sleep 0.2; : >\(file); exit' TERM; echo '{\"item\":\"A1\"}'; sleep \(mark) & wait",
      mark: mark)
    #expect(FileManager.default.fileExists(atPath: file))
  }

  @Test func whatACommandLeavesBehindEndsWithIt() async throws {
    let mark = Processes.mark
    let start = ContinuousClock.now
    // Several, which hold its standard output open and would say more much later.
    let called = try await Called.sh(
      "for i in 1 2 3 4 5; do (trap '' TERM HUP; sleep \(mark); echo bad) & done; echo '{\"item\":\"A1\"}'"
    )
    #expect(called.end.verdict == .done)
    #expect(called.lines == [.item("A1", .done(.null))])
    #expect(ContinuousClock.now - start < .seconds(30) * Pace.slowness)
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
  }

  /// What is still on its way when the command ends, as through `exec > >(filter)`.
  @Test func whatComesRightAfterTheEndIsStillRead() async throws {
    let called = try await Called.sh("(sleep 0.05; echo '{\"item\":\"A1\"}') & exit 0")
    #expect(called.lines == [.item("A1", .done(.null))])
  }

  /// `timeout` and a shell with job control make process groups of their own.
  @Test func whatHasAGroupOfItsOwnEndsWithItToo() async throws {
    let mark = Processes.mark
    _ = try await cancelled(
      "timeout 1\(mark) sleep \(mark) & echo '{\"item\":\"A1\"}'; wait", mark: mark)
    let called = try await Called.sh("set -m; (trap '' TERM; sleep \(mark)) & exit 0")
    #expect(called.end.verdict == .done)
    await eventually(within: .seconds(1), "all are gone") { Processes.with(mark) == [] }
  }

  /// So it has no terminal, and who reads /dev/tty hears so at once instead of waiting for its time to be over.
  @Test func itLeadsASessionOfItsOwn() async throws {
    let called = try await Called.sh(
      #"read -r text </proc/$$/stat; set -- ${text##*) }; echo "{\"output\":$(($4 - $$))}""#)
    #expect(called.lines == [.output(.integer(0))])
  }

  /// Out of reach of the session, but not able to hold the stage.
  @Test func aDaemonThatHoldsTheOutputDoesNotHoldTheStage() async throws {
    let start = ContinuousClock.now
    let called = try await Called.sh("setsid sleep 60 & echo '{\"item\":\"A1\"}'; sleep 0.1")
    #expect(called.lines == [.item("A1", .done(.null))])
    #expect(ContinuousClock.now - start < .seconds(30) * Pace.slowness)
  }

  @Test func aCommandMayCloseItsOutputAndGoOn() async throws {
    let folder = try TestFolder()
    let file = "\(folder.path)/done"
    let called = try await Called.sh("exec >&- 2>&-; sleep 0.5; : >\(file)")
    #expect(called.end.verdict == .done)
    #expect(FileManager.default.fileExists(atPath: file))
  }

  @Test func aGroupThatGrowsIsKilledWhole() async throws {
    let mark = Processes.mark
    _ = try await cancelled(
      """
      trap '' TERM
      grow() { sleep \(mark) & [ $1 -gt 0 ] && { grow $(($1-1)) & grow $(($1-1)) & }; wait; }
      echo '{"item":"A1"}'
      grow 4
      """, mark: mark)
  }

  @Test func itHasNothingOfTheWorkersOpen() async throws {
    // Without O_CLOEXEC, as some library might open it.
    let leaky = open("/dev/null", O_RDONLY)
    defer { close(leaky) }
    let called = try await Called.sh("exec ls /proc/self/fd >&2")
    // 3 is the folder that ls itself has open.
    #expect(called.log == ["0", "1", "2", "3"])
  }

  @Test func signalsAreAsNobodyTouchedThem() async throws {
    let called = try await Called.sh("exec grep -E '^Sig(Blk|Ign)' /proc/self/status >&2")
    #expect(called.log.count == 2)
    for line in called.log {
      let mask = try #require(line.split(separator: "·").last.flatMap { UInt64($0, radix: 16) })
      // 32 and 33 are the C library's own.
      #expect(mask & ~0x1_8000_0000 == 0, "\(line)")
    }
  }

  @Test func theKernelWouldTakeItFirst() async throws {
    let called = try await Called.sh(
      "until [ $(cat /proc/$$/oom_score_adj) = 1000 ]; do sleep 0.01; done; echo '{\"output\":1}'")
    #expect(called.lines == [.output(.integer(1))])
  }

  /// One that inherited the writing end of another's input would keep that one waiting for its end.
  @Test func manyAtOnceDoNotHoldEachOther() async throws {
    let ends = try await withThrowingTaskGroup(of: Called.self) { group in
      for number in 1...64 {
        group.addTask {
          try await Called.sh(#"cat >/dev/null; echo '{"output":\#(number)}'"#)
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    let outputs = ends.flatMap(\.lines).map { line in
      if case .output(.integer(let number)) = line { number } else { Int64(0) }
    }
    #expect(outputs.sorted() == Array(1...64))
  }

  @Test func aHundredCallsLeaveNothing() async throws {
    _ = try await Called.command(["true"])
    let mark = Processes.mark
    let before = Processes.descriptors
    for number in 1...100 {
      switch number % 4 {
      case 0: _ = try await Called.command(["no-such-program"])
      case 1: _ = try await Called.sh("sleep \(mark) & exit 1")
      case 2: _ = try await Called.sh("echo bad; sleep \(mark)")
      default: _ = try await Called.command(["true"])
      }
    }
    // Other tests of this process come and go meanwhile; a leak would be of a hundred at least.
    await eventually("no descriptors are left") { Processes.descriptors - before < 75 }
    await eventually(within: .seconds(1), "no process is left") { Processes.with(mark) == [] }
    await eventually("no zombies are left") { Processes.zombies == [] }
  }
}
