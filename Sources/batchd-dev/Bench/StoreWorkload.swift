internal import Foundation
internal import Pipeline
internal import Stores

/// Rows that stages write, in transactions of ten (one Workiz batch) and a hundred, each under its fence.
enum StoreWorkload {
  private static let writers = 8

  static func run(_ settings: BenchSettings) async throws -> [Figure] {
    let path = NSTemporaryDirectory() + "batchd-bench-\(UUID().uuidString).sqlite"
    defer {
      for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + end) }
    }
    let figures = try await figures("SQLite", settings) { try await SQLiteStore(path: path) }
    guard let server = try BenchPostgreSQL() else {
      return figures + [
        Figure("store", "PostgreSQL: none here, apt-get install postgresql", 0, "/s")
      ]
    }
    do {
      let more = try await self.figures("PostgreSQL", settings) { try await open(server) }
      try await server.end()
      return figures + more
    } catch {
      try await server.end()
      throw error
    }
  }

  /// Waits for the server.
  private static func open(_ server: BenchPostgreSQL) async throws -> any ResultsStore {
    let deadline = ContinuousClock.now + .seconds(20)
    while true {
      do {
        return try await PostgreSQLStore(server.address)
      } catch let error as StoreError {
        guard ContinuousClock.now < deadline else { throw error }
        try await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  private static func figures(
    _ name: String, _ settings: BenchSettings, _ open: () async throws -> any ResultsStore
  ) async throws -> [Figure] {
    let store = try await open()
    var figures: [Figure] = []
    for rows in [10, 100] {
      let rate = try await rate(store, rows: rows, transactions: settings.scaled(2_000))
      figures.append(Figure("store", "\(name) rows/s, \(rows) a transaction", rate, "/s"))
    }
    try await store.close()
    return figures
  }

  private static func rate(
    _ store: any ResultsStore, rows: Int, transactions: Int
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

  private static func write(_ store: any ResultsStore, rows: Int, _ index: Int) async throws {
    let batch = "b\(rows)-\(index)"
    let job = StageJob(
      batch: batch, operation: "store", account: "a", pipeline: BenchSite.pipeline,
      stage: .persistence, run: 1, attempt: 1, number: 1,
      fence: Fence(epoch: 1, counter: index + 1),
      items: [], itemCount: rows, payload: nil, cursor: nil)
    try await store.raise(fence: job.fence, of: job, prefix: "batchd", forgotten: nil)
    let text = #"{"JobStatus":"Submitted","Name":"\#(String(repeating: "x", count: 500))"}"#
    let changed = try await store.upsert(
      (0..<rows).map {
        JobDocument(
          uuid: "\(batch)-\($0)", account: "a", document: Array(text.utf8), contentHash: "\($0)")
      }, for: job)
    guard changed == rows else { throw BenchError("\(changed) of \(rows) rows were written") }
  }
}
