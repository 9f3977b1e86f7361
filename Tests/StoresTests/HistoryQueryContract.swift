import Pipeline
import Stores
import Testing

@Suite struct HistoryQueryContract {
  /// Ends a minute apart, the oldest first.
  private static let runs = [
    run("a1", minute: 1), run("a2", minute: 2, status: "failed"),
    run("a2", run: 2, minute: 3), run("b1", minute: 4, account: "other", operation: "op2"),
    run("n1", minute: 5, account: nil, status: "cancelled"),
  ]

  private static func run(
    _ batch: String, run: Int = 1, minute: Int64, account: String? = "acme",
    operation: String = "op", pipeline: String = "workiz", status: String = "completed"
  ) -> EndedBatch {
    EndedBatch(
      batch: batch, run: run, status: status, operation: operation, account: account,
      pipeline: pipeline, stage: .metadata, number: 3, itemsTotal: 10, itemsDone: 7, itemsFailed: 3,
      retryCount: 2, error: status == "failed" ? "a \"quoted\" ü" : nil,
      itemErrors: status == "failed" ? ["A\"1": "gone\n", "B2": ""] : [:],
      admittedAt: Timestamp(milliseconds: 1_769_860_800_001),
      startedAt: account == nil ? nil : Timestamp(milliseconds: 1_769_860_801_250),
      finishedAt: end(minute))
  }

  private static func end(_ minute: Int64) -> Timestamp {
    Timestamp(milliseconds: 1_769_860_800_999 + minute * 60_000)
  }

  @Test(arguments: StoreKind.allCases) func runsComeBackAsTheyWentNewestFirst(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      #expect(try await store.history(HistoryQuery()).isEmpty)
      try await store.record(Self.runs)
      #expect(try await store.history(HistoryQuery()) == Self.runs.reversed())
      #expect(try await store.history(HistoryQuery(limit: 2)) == [Self.runs[4], Self.runs[3]])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func eachConditionLeavesWhatItNames(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.record(Self.runs + [Self.run("p1", minute: 6, pipeline: "demo")])
      func found(_ query: HistoryQuery) async throws -> [String] {
        try await store.history(query).map { "\($0.batch)/\($0.run)" }
      }
      #expect(try await found(.init(batch: "a2")) == ["a2/2", "a2/1"])
      #expect(try await found(.init(operation: "op2")) == ["b1/1"])
      #expect(try await found(.init(account: "acme")) == ["p1/1", "a2/2", "a2/1", "a1/1"])
      #expect(try await found(.init(pipeline: "demo")) == ["p1/1"])
      #expect(try await found(.init(status: "failed")) == ["a2/1"])
      #expect(try await found(.init(after: Self.end(4))) == ["p1/1", "n1/1", "b1/1"])
      #expect(try await found(.init(before: Self.end(3))) == ["a2/1", "a1/1"])
      #expect(
        try await found(.init(account: "acme", after: Self.end(2), before: Self.end(6)))
          == ["a2/2", "a2/1"])
      #expect(try await found(.init(batch: "a2", status: "cancelled")).isEmpty)
      #expect(try await found(.init(batch: "' OR true --")).isEmpty)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func endsOfOneMomentComeByBatchAndRun(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      // Capitals and digits: by bytes, not as a dictionary has them.
      let ids = ["b.1", "B1", "a1", "b1", "_b"]
      try await store.record(ids.map { Self.run($0, minute: 1) })
      try await store.record([Self.run("b1", run: 2, minute: 1)])
      let found = try await store.history(HistoryQuery()).map { "\($0.batch)/\($0.run)" }
      #expect(found == ["b1/2", "b1/1", "b.1/1", "a1/1", "_b/1", "B1/1"])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases, [0, -1, 10_001]) func theLimitIsBounded(
    kind: StoreKind, limit: Int
  ) async throws {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let code = try await refusal { _ = try await store.history(HistoryQuery(limit: limit)) }
      #expect(code == .invalid)
      try await store.close()
    }
  }

  /// An error may be the last bytes of whatever a command wrote.
  @Test(arguments: StoreKind.allCases) func noErrorTextKeepsARunOutOfTheHistory(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.record([
        .sample("b1", error: "a\0b", itemErrors: ["A\01": "\0", "B2": "\u{1}\u{FFFF}"]),
        .sample("b2"),
      ])
      let found = try await store.history(HistoryQuery())
      #expect(found.map(\.batch) == ["b2", "b1"])
      #expect(found.last?.itemErrors["B2"] == "\u{1}\u{FFFF}")
      #expect(found.last?.itemErrors.count == 2)
      try await store.close()
    }
  }
}
