internal import Foundation
internal import Redis

/// What Redis allows: the functions of stage jobs, called with the worker's arguments by a client that does nothing else
/// and always has calls under way.
struct Ceiling {
  let connection: RedisConnection
  let stage: String
  /// Items that are checkpointed in one call for each batch; 0 for none.
  let items: Int

  private static let callsUnderWay = 4
  /// As many batches as a worker claims and finishes in one call.
  private static let most = 64
  private static let leaseMilliseconds = RedisArgument.integer(15_000)

  /// Runs all that waits to its end.
  func drain() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for lane in 0..<Self.callsUnderWay {
        group.addTask { while try await step(lane) {} }
      }
      try await group.waitForAll()
    }
  }

  /// Claims some batches and runs them. False: none was left.
  func step(_ lane: Int) async throws -> Bool {
    let claimed = try await call(
      "claim",
      [
        .text("bare-\(lane)"), .text(UUID().uuidString), .text(BenchSite.pipeline), .text(stage),
        "queue", .integer(Self.most), Self.leaseMilliseconds,
      ])
    let batches: [[RedisValue]] = (claimed.array ?? []).dropFirst(2).compactMap(\.array)
    var jobs = batches.map {
      Job(
        id: Self.argument($0[0]), run: Self.argument($0[1]), stage: .text(stage),
        fence: Self.argument($0[3]))
    }
    guard !jobs.isEmpty else { return false }
    while !jobs.isEmpty {
      if items > 0 { for job in jobs { try await checkpoint(job) } }
      jobs = try await finish(jobs)
    }
    return true
  }

  private struct Job {
    let id: RedisArgument
    let run: RedisArgument
    let stage: RedisArgument
    let fence: RedisArgument
  }

  private func finish(_ jobs: [Job]) async throws -> [Job] {
    var arguments: [RedisArgument] = [Self.leaseMilliseconds, .integer(jobs.count)]
    for job in jobs { arguments += [job.id, job.run, job.stage, job.fence, "1", "0", ""] }
    let answers = try await call("finish", arguments).array ?? []
    return zip(jobs, answers.dropFirst()).compactMap { job, answer in
      guard let next = answer.array, next.count > 1 else { return nil }
      return Job(id: job.id, run: job.run, stage: Self.argument(next[1]), fence: job.fence)
    }
  }

  private func checkpoint(_ job: Job) async throws {
    var arguments = [job.id, job.run, job.stage, job.fence, Self.leaseMilliseconds, "0", ""]
    arguments.append(.integer(items))
    for item in 0..<items { arguments += [.text("i\(item)"), "done", "1"] }
    _ = try await call("checkpoint", arguments + [0])
  }

  private static func argument(_ value: RedisValue) -> RedisArgument { .text(value.text ?? "") }

  private func call(_ function: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    let epoch = "1 \(Int(Date.now.timeIntervalSince1970 * 1000))"
    return try await connection.call(
      ["FCALL", .text("batchd_\(function)"), 1, .text(BenchSite.prefix), .text(epoch)] + arguments)
  }
}
