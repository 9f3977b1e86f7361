internal import Foundation
internal import Glibc
internal import Pipeline
internal import Stores
internal import Worker

/// Does what the batch's payload says: `{"do":WHAT, "ms":N}`; without one, nothing.
struct TestHandler: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    let milliseconds = job.payload?["ms"].flatMap(Self.integer) ?? 0
    switch job.payload?["do"]?.string {
    case nil, "nothing": return nil
    case "slow": try await work(job, context, milliseconds)
    case "fail":
      try await Task.sleep(for: .milliseconds(milliseconds))
      throw StageError.retry("told to fail")
    case "trap":
      try await Task.sleep(for: .milliseconds(milliseconds))
      fatalError("told to trap")
    case "block":
      // Holds every one of the few threads that run the tasks of the process, and looks at nothing.
      for _ in 1...4 * sysconf(Int32(_SC_NPROCESSORS_ONLN)) {
        Task.detached { while true { sleep(1) } }
      }
      while true { sleep(1) }
    case "deaf":
      while true { await Self.deafPause() }
    case "eat":
      while true { Self.eat(1 << 24) }
    case "print":
      Self.print(1 << 30)
    case "write":
      try await write(job, context)
    case let other:
      throw StageError.permanent("the test's worker cannot do \"\(other ?? "")\"")
    }
    return nil
  }

  private static func integer(_ value: JSON) -> Int? {
    if case .integer(let value) = value { Int(value) } else { nil }
  }

  /// Takes `milliseconds` for each item and checkpoints it; once when there are none.
  private func work(_ job: StageJob, _ context: StageContext, _ milliseconds: Int) async throws {
    if job.items.isEmpty { try await Task.sleep(for: .milliseconds(milliseconds)) }
    for item in job.items {
      try await Task.sleep(for: .milliseconds(milliseconds))
      try await context.checkpoint([item.id: .done(.null)])
    }
  }

  /// A wait that a cancellation neither ends nor shortens, and that holds no thread.
  private static func deafPause() async {
    await withCheckedContinuation { done in
      Task.detached {
        try? await Task.sleep(for: .milliseconds(50))
        done.resume()
      }
    }
  }

  /// Memory that is written to, and never given back.
  private static func eat(_ bytes: Int) {
    guard let memory = malloc(bytes) else { fatalError("no memory left") }
    memset(memory, 1, bytes)
  }

  /// As many a library prints: it traps where the output takes no more.
  private static func print(_ bytes: Int) {
    let line = Data(repeating: UInt8(ascii: "x"), count: 1 << 16)
    for _ in 0..<bytes >> 16 { FileHandle.standardOutput.write(line) }
  }

  /// Writes one row for each item, `"rows"` more for each, all in one transaction.
  private func write(_ job: StageJob, _ context: StageContext) async throws {
    let copies = job.payload?["rows"].flatMap(Self.integer) ?? 1
    let documents = job.items.flatMap { item in
      (0..<copies).map { copy in
        JobDocument(
          uuid: "\(item.id)-\(copy)", account: job.account ?? "none",
          document: Array("{\"batch\":\"\(job.batch)\"}".utf8), contentHash: "\(item.id)-\(copy)")
      }
    }
    _ = try await context.store.upsert(documents, for: job)
  }
}
