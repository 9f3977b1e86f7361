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
        "queue", .integer(Self.most), Self.leaseMilliseconds, "short",
      ])
    var jobs = (claimed.array ?? []).dropFirst(2).compactMap(job)
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
    arguments.append("short")
    let answers = try await call("finish", arguments).array ?? []
    return zip(jobs, answers.dropFirst()).compactMap { job, answer in
      let stage = answer.array?.dropFirst().first?.text ?? answer.text.flatMap(Self.following)
      return stage.map { Job(id: job.id, run: job.run, stage: .text($0), fence: job.fence) }
    }
  }

  /// STAGE of 'next STAGE'.
  private static func following(_ answer: String) -> String? {
    let words = answer.split(separator: " ")
    return words.first == "next" ? words.last.map(String.init) : nil
  }

  /// Of one element of a claim's reply; nil of an envelope, in which ours have no space.
  private func job(_ element: RedisValue) -> Job? {
    let words =
      element.array.map { [$0[0], $0[1], $0[3]].compactMap(\.text) }
      ?? (element.text ?? "").split(separator: " ").dropLast().map(String.init)
    guard words.count == 3 else { return nil }
    return Job(
      id: .text(words[0]), run: .text(words[1]), stage: .text(stage), fence: .text(words[2]))
  }

  private func checkpoint(_ job: Job) async throws {
    var arguments = [job.id, job.run, job.stage, job.fence, Self.leaseMilliseconds, "0", ""]
    arguments.append(.integer(items))
    for item in 0..<items { arguments += [.text("i\(item)"), "done", "1"] }
    _ = try await call("checkpoint", arguments + [0])
  }

  private func call(_ function: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    let epoch = "1 \(Int(Date.now.timeIntervalSince1970 * 1000))"
    return try await connection.call(
      ["FCALL", .text("batchd_\(function)"), 1, .text(BenchSite.prefix), .text(epoch)] + arguments)
  }
}
