import Foundation
import Pipeline
import Stages
import TestSupport
import Testing
import Worker

/// Stages that are commands, under leases of a real Redis.
@Suite(.serialized, .timeLimit(.minutes(5))) struct CommandStageTests {
  /// A pipeline `demo` of stages that are scripts of the shell.
  private static func scripts(
    _ scripts: [(Stage, String)], feed: Feed = .batch, gate: GateRule? = nil, retries: Int = 1,
    timeoutMilliseconds: Int = 60_000
  ) throws -> [PipelineDefinition] {
    var retry = RetryPolicy()
    retry.retries = retries
    retry.backoffMilliseconds = 50
    return [
      PipelineDefinition(
        name: "demo",
        stages: try scripts.map { stage, script in
          StageDefinition(
            stage: stage,
            handler: try ExecHandler(
              ExecConfiguration(command: ["/bin/sh", "-c", script]), gate: gate, feed: feed,
              retries: retries), timeoutMilliseconds: timeoutMilliseconds, retry: retry)
        })
    ]
  }

  private func run(
    _ pipelines: [PipelineDefinition], _ envelope: String, until status: String,
    _ check: (WorkerHarness) async throws -> Void
  ) async throws {
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", pipelines)
    try await harness.enqueue(envelope)
    await harness.waitFor(status, of: "batch:b1")
    try await check(harness)
    try await worker.stop()
  }

  @Test func outputsTravelFromStageToStage() async throws {
    let folder = try TestFolder()
    let pipelines = try Self.scripts([
      (.setup, #"echo '{"output":{"n":1}}'"#),
      (
        .extraction,
        #"cat >/dev/null; for i in 1 2 3; do echo "{\"item\":\"A$i\",\"output\":$i}"; done"#
      ),
      (.metadata, "cat >\(folder.path)/input"),
    ])
    let envelope =
      #"{"id":"b1","account":"acme","items":["A1","A2",{"id":"A3","x":1}],"payload":5}"#
    try await run(pipelines, envelope, until: "completed") { harness in
      let input = try JSON(parsing: Data(contentsOf: URL(filePath: "\(folder.path)/input")))
      #expect(
        try input
          == JSON(
            parsing: #"""
              {"batch":"b1","operation":"b1","account":"acme","pipeline":"demo","stage":"metadata","run":1,"attempt":1,
               "items":["A1","A2",{"id":"A3","x":1}],"payload":5,
               "inputs":{"setup":{"output":{"n":1}},"extraction":{"items":{"A1":1,"A2":2,"A3":3}}}}
              """#.utf8))
      #expect(try await harness.field("progress:b1", "items_done") == "3")
    }
  }

  /// The first attempt ends A1, fails A2 for now and A3 for good, and crashes the second time.
  @Test func whatWasReportedIsNotAskedForAgain() async throws {
    let folder = try TestFolder()
    let script = """
      tee -a \(folder.path)/inputs >/dev/null
      case $BATCHD_ATTEMPT in
      1) echo '{"item":"A1","output":1}'; echo '{"item":"A2","error":"later"}'
         echo '{"item":"A3","error":"never","retry":false}' ;;
      2) echo '{"item":"A2"}'; kill -9 $$ ;;
      esac
      """
    let envelope = #"{"id":"b1","items":["A1","A2","A3","A4"]}"#
    try await run(
      Self.scripts([(.extraction, script)], retries: 3), envelope, until: "completed_with_errors"
    ) { harness in
      let inputs = try String(contentsOfFile: "\(folder.path)/inputs", encoding: .utf8)
        .split(separator: "\n").map { try JSON(parsing: $0.utf8)["items"] }
      // A4 was not mentioned when the command ended well.
      #expect(
        inputs == [
          .array(["A1", "A2", "A3", "A4"].map { .string($0) }), .array([.string("A2")]),
          .array([]),
        ])
      #expect(try await harness.hash("errors:b1") == ["A3": "never"])
      #expect(try await harness.field("batch:b1", "attempt") == "3")
    }
  }

  @Test func onTheLastAttemptWhatStillFailsFailsAlone() async throws {
    let script = #"echo '{"item":"A2","error":"broken"}'"#
    try await run(
      Self.scripts([(.extraction, script)], retries: 1), #"{"id":"b1","items":["A1","A2"]}"#,
      until: "completed_with_errors"
    ) { harness in
      let errors = try await harness.hash("errors:b1")
      #expect(errors == ["A2": "given up after 2 attempts: broken"])
    }
  }

  @Test func whenAllFailTheBatchFails() async throws {
    let script = #"echo '{"item":"A1","error":"broken"}'"#
    try await run(
      Self.scripts([(.extraction, script)], retries: 0), #"{"id":"b1","items":["A1"]}"#,
      until: "failed"
    ) { harness in
      let error = try await harness.field("batch:b1", "error")
      #expect(
        error == "1 item failed, A1: broken (attempt 1, no retries left)")
    }
  }

  @Test func anExitCodeOf65FailsTheBatchAtOnce() async throws {
    try await run(
      Self.scripts([(.extraction, "echo wrong model >&2; exit 65")], retries: 5),
      #"{"id":"b1","items":["A1"]}"#, until: "failed"
    ) { harness in
      let error = try await harness.field("batch:b1", "error")
      #expect(
        error == "/bin/sh failed for good (exit code 65): wrong model")
    }
  }

  // MARK: Items one by one

  @Test func itemsOneByOneEndForThemselves() async throws {
    let folder = try TestFolder()
    let script = """
      cat >>\(folder.path)/inputs
      case $BATCHD_ITEM in
      A1) echo '{"output":{"is":"one"}}' ;;
      A2) echo bad item >&2; exit 65 ;;
      A3) echo '{"item":"A3","output":3}'; exit 75 ;;
      esac
      """
    let pipelines = try Self.scripts(
      [
        (.setup, #"echo "{\"item\":\"$BATCHD_ITEM\",\"output\":\"$BATCHD_ITEM\"}""#),
        (.extraction, script),
      ], feed: .item, retries: 1)
    try await run(
      pipelines, #"{"id":"b1","items":["A1","A2","A3","A4"]}"#, until: "completed_with_errors"
    ) { harness in
      #expect(
        try await harness.hash("errors:b1") == [
          "A2": "/bin/sh failed for good (exit code 65): bad item",
          "A3": "given up after 2 attempts: /bin/sh asks for another try (exit code 75)",
        ])
      #expect(
        try await harness.hash("items:b1:extraction") == [
          "A1": #"{"is":"one"}"#, "A4": "null",
        ])
      let inputs = try String(contentsOfFile: "\(folder.path)/inputs", encoding: .utf8)
        .split(separator: "\n").map { try JSON(parsing: $0.utf8) }
      #expect(inputs.map { $0["items"]?.array?.count } == [1, 1, 1, 1, 1])
      #expect(
        inputs.first?["inputs"]
          == .object(["setup": .object(["items": .object(["A1": .string("A1")])])]))
    }
  }

  @Test func aCommandThatIsDownIsNotStartedForEveryItem() async throws {
    let folder = try TestFolder()
    let items = (1...50).map { "\"I\($0)\"" }.joined(separator: ",")
    try await run(
      Self.scripts(
        [(.extraction, "echo >>\(folder.path)/starts; exit 1")], feed: .item, retries: 0),
      #"{"id":"b1","items":[\#(items)]}"#, until: "failed"
    ) { harness in
      let error = try await harness.field("batch:b1", "error")
      #expect(
        error
          == "5 calls failed in a row, the last: /bin/sh exited with 1 (attempt 1, no retries left)"
      )
      #expect(try String(contentsOfFile: "\(folder.path)/starts", encoding: .utf8).count == 5)
    }
  }

  @Test func aBatchWithoutItemsIsOneCall() async throws {
    try await run(
      Self.scripts([(.extraction, #"echo '{"output":1}'"#)], feed: .item), #"{"id":"b1"}"#,
      until: "completed"
    ) { harness in
      let outputs = try await harness.hash("output:b1")
      #expect(outputs["extraction"] == "1")
    }
  }

  @Test func eachStartHasAPermissionOfTheGate() async throws {
    let folder = try TestFolder()
    let gate = GateRule(name: "vision", isPerAccount: true, intervalMilliseconds: 200)
    try await run(
      Self.scripts(
        [(.extraction, "date +%s%N >>\(folder.path)/starts")], feed: .item, gate: gate),
      #"{"id":"b1","account":"acme","items":[1,2,3,4]}"#, until: "completed"
    ) { harness in
      let starts = try String(contentsOfFile: "\(folder.path)/starts", encoding: .utf8)
        .split(separator: "\n").map { Double($0)! / 1e9 }
      #expect(starts.count == 4)
      #expect(zip(starts, starts.dropFirst()).allSatisfy { $1 - $0 > 0.15 })
      #expect(try await harness.redis.cli("EXISTS", "batchd:gate:vision:acme") == "1")
    }
  }

  // MARK: Ends from outside

  @Test func aTimeoutEndsTheWholeGroup() async throws {
    let mark = "1\(Int.random(in: 1_000_000...9_999_999))"
    try await run(
      Self.scripts(
        [(.extraction, "trap '' TERM; sleep \(mark) & sleep \(mark)")], retries: 0,
        timeoutMilliseconds: 500), #"{"id":"b1"}"#, until: "failed"
    ) { harness in
      let error = try await harness.field("batch:b1", "error")
      #expect(
        error == "timed out after 500 ms, the timeout_ms of the stage (attempt 1, no retries left)")
      await eventually("nothing is left") { Self.processes(mark) == 0 }
    }
  }

  @Test func aCancelledBatchEndsItsCommand() async throws {
    let mark = "1\(Int.random(in: 1_000_000...9_999_999))"
    let harness = try await WorkerHarness()
    let worker = try harness.worker(
      "w1", Self.scripts([(.extraction, "sleep \(mark) & sleep \(mark)")]))
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it runs") { Self.processes(mark) >= 2 }
    _ = try await harness.fcall("cancel", "b1")
    await harness.waitFor("cancelled", of: "batch:b1")
    await eventually(within: .seconds(3), "nothing is left") { Self.processes(mark) == 0 }
    try await worker.stop()
  }

  @Test func aLostLeaseEndsItsCommand() async throws {
    let mark = "1\(Int.random(in: 1_000_000...9_999_999))"
    let harness = try await WorkerHarness()
    let worker = try harness.worker("w1", Self.scripts([(.extraction, "sleep \(mark)")])) {
      $0.leaseMilliseconds = 1_000
    }
    try await harness.enqueue(#"{"id":"b1"}"#)
    await eventually("it runs") { Self.processes(mark) >= 1 }
    harness.redis.suspend()
    await eventually(within: .seconds(5), "nothing is left") { Self.processes(mark) == 0 }
    harness.redis.resume()
    await eventually(within: .seconds(20), "it runs again") { Self.processes(mark) >= 1 }
    try await worker.stop()
    #expect(Self.processes(mark) == 0)
  }

  /// Processes whose arguments hold `mark`.
  private static func processes(_ mark: String) -> Int {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.count { name in
      Int(name) != nil
        && (try? String(contentsOfFile: "/proc/\(name)/cmdline", encoding: .utf8))?
          .contains(mark) == true
    }
  }
}
