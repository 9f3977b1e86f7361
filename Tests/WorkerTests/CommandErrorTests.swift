import Pipeline
import TestSupport
import Testing
import Worker

/// Each wrong use of a command is answered with an error that helps; none is a silence.
@Suite struct CommandErrorTests {
  /// Arguments after `FCALL batchd_`, the error.
  private static let uses: [([String], String)] = [
    (
      ["cancel", "1", "batchd"],
      "BADARG batchd_cancel needs an id: FCALL batchd_cancel 1 PREFIX ID, or operation:OP"
    ),
    (
      ["cancel", "0", "done"],
      "BADARG batchd_cancel takes one key, the prefix: FCALL batchd_cancel 1 batchd ..."
    ),
    (
      ["cancel", "1", "batchd", "nosuch"],
      #"NOTFOUND batch "nosuch" is not known: never admitted, or forgotten since its end; batchd explain nosuch looks further"#
    ),
    (
      ["cancel", "1", "Batchd", "done"],
      #"NOTFOUND batch "done" is not known: never admitted, or forgotten since its end; batchd explain done looks further"#
    ),
    (
      ["cancel", "1", "batchd", "op"],
      #"NOTFOUND batch "op" is not known; for the operation of that name: operation:op"#
    ),
    (
      ["cancel", "1", "batchd", "operation:nosuch"],
      #"NOTFOUND operation "nosuch" is not known: never admitted, or forgotten since its end; batchd explain nosuch looks further"#
    ),
    (
      ["cancel", "1", "batchd", "operation:waits"],
      #"NOTFOUND operation "waits" is not known: never admitted, or forgotten since its end; batchd explain waits looks further"#
    ),
    (
      ["cancel", "1", "batchd", "done"],
      #"ENDED batch "done" has ended: completed; there is nothing left to cancel"#
    ),
    (
      ["cancel", "1", "batchd", "bad"],
      #"ENDED batch "bad" was rejected: items: must be an array, not an integer; see batchd_drop"#
    ),
    (["cancel", "1", "batchd", "waits", "later"], #"BADARG one argument too many: "later""#),
    (["cancel", "1", "batchd", "waits", "7"], #"BADARG one argument too many: "7""#),
    (
      ["retry", "1", "batchd"],
      "BADARG batchd_retry needs an id: FCALL batchd_retry 1 PREFIX ID [STAGE]"
    ),
    (
      ["retry", "1", "batchd", "nosuch"],
      #"NOTFOUND batch "nosuch" is not known: never admitted, or forgotten since its end; batchd explain nosuch looks further"#
    ),
    (
      ["retry", "1", "batchd", "waits"],
      #"LIVE batch "waits" is pending; only an ended batch can be retried: wait, or cancel it first"#
    ),
    (
      ["retry", "1", "batchd", "done"],
      #"DONE batch "done" completed with nothing left to do; to do all of it again, enqueue it with "rerun":true"#
    ),
    (
      ["retry", "1", "batchd", "bad"],
      #"BADARG batch "bad" was rejected: items: must be an array, not an integer; see batchd_reenter"#
    ),
    (
      ["retry", "1", "batchd", "broken", "metadata"],
      #"BADARG stage "metadata" is not one of pipeline demo: setup,extraction"#
    ),
    (
      ["retry", "1", "batchd", "broken", "extraction"],
      #"BADARG batch "broken" has unfinished items since stage setup: retry from there or earlier"#
    ),
    (["retry", "1", "batchd", "broken", "setup", "x"], #"BADARG one argument too many: "x""#),
    (
      ["pause", "1", "batchd"],
      "BADARG what to pause: all, pipeline:P, stage:P:S or account:A"
    ),
    (
      ["pause", "1", "batchd", "al"],
      #"BADARG "al" is not what to pause: all, pipeline:P, stage:P:S or account:A"#
    ),
    (
      ["pause", "1", "batchd", "account:a b"],
      #"BADARG "account:a b" is not what to pause: all, pipeline:P, stage:P:S or account:A"#
    ),
    (
      ["pause", "1", "batchd", "pipeline:dem"],
      #"NOTFOUND pipeline "dem" is not known; known: demo"#
    ),
    (
      ["pause", "1", "batchd", "stage:demo:extracton"],
      #"NOTFOUND pipeline demo has no stage "extracton"; it has: setup,extraction"#
    ),
    (["pause", "1", "batchd", "all", "now"], #"BADARG one argument too many: "now""#),
    (
      ["pause", "1", "batch", "all"],
      "NOTFOUND no worker ever used the prefix batch; start one, or name the prefix of those that run"
    ),
    (
      ["resume", "1", "batchd"],
      "BADARG what to resume: all, pipeline:P, stage:P:S or account:A"
    ),
    (
      ["resume", "1", "batchd", "account:b"],
      #"NOTFOUND "account:b" is not paused; paused: account:acme"#
    ),
    (
      ["reenter", "1", "batchd"],
      "BADARG batchd_reenter needs the position of the entry (0 is the newest) or all"
    ),
    (
      ["reenter", "1", "batchd", "-1"],
      "BADARG batchd_reenter needs the position of the entry (0 is the newest) or all"
    ),
    (
      ["reenter", "1", "batchd", "1"],
      "NOTFOUND no rejected entry at position 1; there are 1, the newest at 0"
    ),
    (
      ["drop", "1", "batchd", "bad"],
      "BADARG batchd_drop needs the position of the entry (0 is the newest) or all"
    ),
    (
      ["drop", "1", "batchd", "5"],
      "NOTFOUND no rejected entry at position 5; there are 1, the newest at 0"
    ),
    (["cancle", "1", "batchd", "done"], "ERR Function not found"),
  ]

  @Test func eachWrongUseIsAnsweredWithAnErrorThatHelps() async throws {
    let harness = try await WorkerHarness()
    let handler = Handler { job, _ in
      if job.batch == "broken" { throw StageError.permanent("no") }
      return nil
    }
    let worker = try harness.worker(
      "w1",
      [
        PipelineDefinition(
          name: "demo",
          stages: [
            .init(stage: .setup, handler: handler), .init(stage: .extraction, handler: handler),
          ])
      ])
    await harness.waitForWorker("w1")
    #expect(try await harness.fcall("pause", "account:acme") == "paused")
    #expect(try await harness.fcall("pause", "account:acme") == "already paused")
    try await harness.enqueue(
      #"{"id":"done","operation":"op"}"#, #"{"id":"broken"}"#, #"{"id":"bad","items":7}"#,
      #"{"id":"waits","operation":"op","account":"acme"}"#)
    await harness.waitFor("completed", of: "batch:done")
    await harness.waitFor("failed", of: "batch:broken")
    await harness.waitFor("pending", of: "batch:waits")
    let before = try await harness.redis.cli("DBSIZE")
    for (use, error) in Self.uses {
      let answer = try await harness.redis.cli(["FCALL", "batchd_\(use[0])"] + use.dropFirst())
      #expect(answer.prefix { $0 != "\n" } == error, "\(use.joined(separator: " "))")
    }
    #expect(try await harness.redis.cli("DBSIZE") == before)
    #expect(try await harness.field("batch:waits", "status") == "pending")
    #expect(try await harness.redis.cli("LLEN", "batchd:rejected") == "1")
    try await worker.stop()
  }
}
