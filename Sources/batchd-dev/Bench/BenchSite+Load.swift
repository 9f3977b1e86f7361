internal import Foundation
internal import Pipeline
internal import Queue
internal import Redis

/// What the workloads ask of Redis.
extension BenchSite {
  /// Batches of one operation, as somebody enqueues them.
  struct Load: Sendable {
    var operation = "drain"
    var count: Int
    /// Items of each batch.
    var items = 0
    /// Each batch in an account of its own.
    var hasAccounts = false
    /// Bytes of each payload.
    var payload = 120

    func id(_ index: Int) -> String { "\(operation)-\(index)" }

    func envelope(_ index: Int) -> String {
      var fields = [
        #""id":"\#(id(index))""#, #""operation":"\#(operation)""#,
        #""payload":"\#(String(repeating: "x", count: payload))""#,
      ]
      if hasAccounts { fields.append(#""account":"a\#(index)""#) }
      if items > 0 {
        let names = (0..<items).map { #""i\#($0)""# }
        fields.append(#""items":[\#(names.joined(separator: ","))]"#)
      }
      return "{\(fields.joined(separator: ","))}"
    }
  }

  func enqueue(_ load: Load) async throws {
    for start in stride(from: 0, to: load.count, by: 500) {
      let entries = (start..<min(start + 500, load.count)).map {
        RedisArgument.text(load.envelope($0))
      }
      _ = try await connection.call(["LPUSH", .text(keys.enqueue)] + entries)
    }
  }

  func enqueue(_ load: Load, _ index: Int) async throws {
    _ = try await connection.call(["LPUSH", .text(keys.enqueue), .text(load.envelope(index))])
  }

  func pause() async throws { try await verb("batchd_pause", "all") }
  func resume() async throws { try await verb("batchd_resume", "all") }

  private func verb(_ function: String, _ what: String) async throws {
    _ = try await connection.call([
      "FCALL", .text(function), 1, .text(Self.prefix), .text(what),
    ])
  }

  /// A worker that admitted `load` while everything is paused, so that all of it waits in the first stage's list.
  func workerWithBacklog(_ load: Load, _ options: [String]) async throws -> BenchProcess {
    let worker = try await readyWorker("w1", options)
    try await pause()
    try await enqueue(load)
    try await Self.until("everything is admitted", worker) {
      try await count("total", load.operation) == load.count
    }
    return worker
  }

  func readyWorker(_ name: String, _ options: [String]) async throws -> BenchProcess {
    let worker = try worker(name, options)
    try await Self.until("worker \(name) is registered", worker) {
      try await connection.call(["EXISTS", .text(keys.worker(name))]).integer == 1
    }
    return worker
  }

  /// A count of the operation's progress.
  func count(_ field: String, _ operation: String) async throws -> Int {
    try await connection.call(["HGET", .text(keys.progress(operation)), .text(field)]).integer ?? 0
  }

  func untilEnded(_ load: Load, _ workers: BenchProcess...) async throws {
    try await Self.until("all \(load.count) batches have ended", workers.first) {
      try await count("completed", load.operation) == load.count
    }
  }

  /// Waits until the store holds every ended run.
  func untilArchived(_ worker: BenchProcess) async throws {
    try await Self.until("the store holds every run", worker) {
      try await connection.call(["XLEN", .text(keys.ended)]).integer == 0
    }
  }

  /// Polls, seldom enough to cost nothing, until `condition` holds.
  /// - Throws: `BenchError` when the worker has ended or nothing comes of it within two minutes.
  static func until(
    _ what: String, _ worker: BenchProcess? = nil, _ condition: () async throws -> Bool
  ) async throws {
    let limit = ContinuousClock.now + .seconds(120)
    while try await !condition() {
      if let worker, !worker.isRunning {
        throw BenchError("a process ended; it said: \(worker.lines.suffix(5))")
      }
      guard ContinuousClock.now < limit else {
        throw BenchError("waited two minutes in vain until \(what)")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Milliseconds by Redis's clock from the operation's first start, or its first admission, to its end.
  func milliseconds(_ load: Load, withAdmission: Bool = false) async throws -> Double {
    let progress = keys.progress(load.operation)
    let first =
      withAdmission
      ? try await time(keys.batch(load.id(0)), "admitted_at")
      : try await time(progress, "started_at")
    return max(try await time(progress, "finished_at") - first, 1)
  }

  /// A time of a hash, in Unix milliseconds.
  private func time(_ key: String, _ field: String) async throws -> Double {
    let text = try await connection.call(["HGET", .text(key), .text(field)]).text
    let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    guard let text, let date = try? Date(text, strategy: style) else {
      throw BenchError("\(key) has no \(field)")
    }
    return date.timeIntervalSince1970 * 1000
  }
}
