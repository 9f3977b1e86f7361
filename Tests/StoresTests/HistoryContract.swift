import Pipeline
import Stores
import Testing

@Suite struct HistoryContract {
  static let data =
    "SELECT batch, run, status FROM batch_processing_data ORDER BY batch, run, admitted_at"
  static let batches = "SELECT batch, run, status FROM batches ORDER BY batch"

  @Test(arguments: StoreKind.allCases) func anEndedRunIsReadableInEveryColumn(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let ended = EndedBatch.sample(
        status: "completed_with_errors", number: 3, done: 8, error: "two of ten",
        itemErrors: ["B2": "gone", "A1": "a \"quoted\" one"])
      try await store.record([ended])
      let row = """
        b1|1|workiz|acme|op|3|completed_with_errors|persistence|10|8|2|2|two of ten\
        |{"A1":"a \\"quoted\\" one","B2":"gone"}\
        |2026-01-31T12:00:00.000Z|2026-01-31T12:00:01.250Z|2026-01-31T12:00:09.125Z
        """
      let written = try await subject.rows("SELECT * FROM batch_processing_data")
      #expect(written == [row])
      let columns = """
        batch, run, pipeline, account, operation, batch_number, status, stage, total_items,
        completed_items, failed_items, retry_count, error, errors, admitted_at, started_at,
        finished_at
        """
      #expect(try await subject.rows("SELECT \(columns) FROM batches") == [row])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func recordingIsRepeatable(kind: StoreKind) async throws {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.record([.sample("b1"), .sample("b2", status: "failed", account: nil)])
      try await store.record([.sample("b1", status: "failed"), .sample("b1"), .sample("b3")])
      try await store.record([])
      let expected = ["b1|1|completed", "b2|1|failed", "b3|1|completed"]
      #expect(try await subject.rows(Self.data) == expected)
      #expect(try await subject.rows(Self.batches) == expected)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func anOlderRunNeverReplacesANewerOne(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.record([.sample(run: 2, status: "completed")])
      try await store.record([.sample(run: 1, status: "failed")])
      #expect(try await subject.rows(Self.batches) == ["b1|2|completed"])
      #expect(try await subject.rows(Self.data) == ["b1|1|failed", "b1|2|completed"])
      try await store.record([.sample(run: 3, status: "failed")])
      #expect(try await subject.rows(Self.batches) == ["b1|3|failed"])
      try await store.close()
    }
  }

  /// After its retention an id may be used again, and its runs count from 1 again.
  @Test(arguments: StoreKind.allCases) func anIdUsedAgainKeepsTheHistoryOfEachLife(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.record([.sample(run: 1, status: "failed"), .sample(run: 2)])
      let second = EndedBatch.sample(run: 1, status: "cancelled", admitted: 5)
      // Without a fence: it was cancelled before anybody claimed it.
      try await store.record([second])
      try await store.record([second])
      #expect(try await subject.rows(Self.batches) == ["b1|1|cancelled"])
      #expect(
        try await subject.rows(Self.data) == ["b1|1|failed", "b1|1|cancelled", "b1|2|completed"])
      // Ends of an earlier life that come late.
      try await store.record([.sample(run: 1, status: "failed")])
      #expect(try await subject.rows(Self.batches) == ["b1|1|cancelled"])
      try await store.raise(.sample(run: 1, fence: 2, 1))
      try await store.record([.sample(run: 1, status: "failed", admitted: 9)])
      #expect(try await subject.rows(Self.batches) == ["b1|1|failed"])
      #expect(try await subject.rows(Self.data).count == 4)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func recordingKeepsTheFenceOfANewerRun(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let query = "SELECT run, status, fence_epoch, fence_counter FROM batches"
      try await store.raise(.sample(run: 1, fence: 1, 7))
      try await store.raise(.sample(run: 2, fence: 1, 9))
      // The end of run 1 comes late: SQL was away while Redis went on.
      try await store.record([.sample(run: 1, status: "failed", error: "run 1")])
      #expect(try await subject.rows(query) == ["2|processing|1|9"])
      #expect(try await refusal { try await store.raise(.sample(run: 1, fence: 1, 7)) } == .fenced)
      #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(run: 2, fence: 1, 9)) == 1)
      try await store.record([.sample(run: 2)])
      #expect(try await subject.rows(query) == ["2|completed|1|9"])
      #expect(try await refusal { try await store.raise(.sample(run: 3, fence: 1, 8)) } == .fenced)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func theQueueShowsWhatIsUnderWay(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let query = "SELECT batch, run, stage, total_items FROM batch_processing_queue ORDER BY batch"
      try await store.record([.sample("b1", done: 0, error: "x", itemErrors: ["A1": "x"])])
      try await store.raise(.sample("b1", run: 2, fence: 1, 1, stage: .setup))
      try await store.raise(.sample("b1", run: 2, fence: 1, 1, stage: .persistence))
      try await store.raise(.sample("b2", fence: 1, 2))
      try await store.record([.sample("b2")])
      #expect(try await subject.rows(query) == ["b1|2|persistence|10"])
      #expect(
        try await subject.rows(
          "SELECT failed_items, error, errors, finished_at FROM batches WHERE batch = 'b1'")
          == ["0||{}|"], "a new run starts without what the run before left")
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func accountStatesCountEachBatchOnce(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let query = """
        SELECT account, operation, status, last_batch_completed, processing, completed,
        completed_with_errors, failed, cancelled, completed_items, failed_items
        FROM batch_account_states ORDER BY account, operation
        """
      try await store.record([
        .sample("a1", number: 1), .sample("a2", number: 2), .sample("a2", run: 2, number: 2),
        .sample("a3", status: "failed", number: 3, done: 0), .sample("n1", account: nil),
        .sample("o1", account: "other", operation: "op2", number: 1),
      ])
      #expect(
        try await subject.rows(query) == [
          "acme|op|completed_with_errors|2|0|2|0|1|0|20|10", "other|op2|completed|1|0|1|0|0|0|10|0",
        ])
      try await store.raise(.sample("a3", run: 2, fence: 1, 1, number: 3))
      #expect(try await subject.rows(query)[0] == "acme|op|processing|2|1|2|0|0|0|20|0")
      try await store.record([.sample("a3", run: 2, number: 3)])
      #expect(try await subject.rows(query)[0] == "acme|op|completed|3|0|3|0|0|0|30|0")
      try await store.close()
    }
  }
}
