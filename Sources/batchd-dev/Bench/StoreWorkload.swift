internal import Foundation
internal import Pipeline
internal import Stores

/// Rows that stages write, in transactions of ten (one Workiz batch) and a hundred, each under its fence.
enum StoreWorkload {
  private static let writers = 8

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    let path = NSTemporaryDirectory() + "batchd-bench-\(UUID().uuidString).sqlite"
    let store = try await SQLiteStore(path: path)
    defer {
      for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + end) }
    }
    var figures: [Figure] = []
    for rows in [10, 100] {
      let rate = try await rate(store, rows: rows, transactions: settings.scaled(2_000))
      figures.append(Figure("store", "SQLite rows/s, \(rows) a transaction", rate, "/s"))
    }
    try await store.close()
    return figures
  }

  private static func rate(
    _ store: SQLiteStore, rows: Int, transactions: Int
  ) async throws -> Double {
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<writers {
        group.addTask {
          for index in stride(from: writer, to: transactions, by: writers) {
            try await write(store, rows: rows, index)
          }
        }
      }
      try await group.waitForAll()
    }
    return Double(rows * transactions) / (ContinuousClock.now - start).seconds
  }

  private static func write(_ store: SQLiteStore, rows: Int, _ index: Int) async throws {
    let batch = "b\(rows)-\(index)"
    let job = StageJob(
      batch: batch, operation: "store", account: "a", pipeline: BenchSite.pipeline,
      stage: .persistence, run: 1, attempt: 1, number: 1,
      fence: Fence(epoch: 1, counter: index + 1),
      items: [], itemCount: rows, payload: nil, cursor: nil)
    try await store.raise(fence: job.fence, of: job)
    let text = #"{"JobStatus":"Submitted","Name":"\#(String(repeating: "x", count: 500))"}"#
    let changed = try await store.upsert(
      (0..<rows).map {
        JobDocument(
          uuid: "\(batch)-\($0)", account: "a", document: Array(text.utf8), contentHash: "\($0)")
      }, for: job)
    guard changed == rows else { throw BenchError("\(changed) of \(rows) rows were written") }
  }
}
