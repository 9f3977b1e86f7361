import Pipeline
import Stores
import Testing

@Suite struct ResultsContract {
  @Test(arguments: StoreKind.allCases) func upsertCountsNewAndChangedRows(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      let jobs: [JobDocument] = [.sample("AAAAAA"), .sample("BBBBBB"), .sample("CCCCCC")]
      #expect(try await store.upsert(jobs, for: job) == 3)
      #expect(try await store.upsert(jobs, for: job) == 0)
      #expect(try await store.upsert([jobs[0], .sample("BBBBBB", status: "Done")], for: job) == 1)
      #expect(try await store.upsert([.sample("AAAAAA", account: "other")], for: job) == 1)
      // The hash is over what the service sent; a document that batchd writes anew differs all the same.
      let rewritten = JobDocument(
        uuid: "CCCCCC", account: "acme", document: [UInt8](#"{"Status":null}"#.utf8),
        contentHash: jobs[2].contentHash)
      #expect(try await store.upsert([rewritten], for: job) == 1)
      let rehashed = JobDocument(
        uuid: "CCCCCC", account: "acme", document: rewritten.document, contentHash: "new")
      #expect(try await store.upsert([rehashed], for: job) == 1)
      #expect(
        try await store.contentHashes(account: "acme", uuids: ["CCCCCC"]) == ["CCCCCC": "new"])
      #expect(
        try await subject.rows(
          "SELECT uuid, account, batch, status, job_date_time FROM jobs ORDER BY uuid, account")
          == [
            "AAAAAA|acme|b1|Submitted|2026-01-31T12:00:00Z",
            "AAAAAA|other|b1|Submitted|2026-01-31T12:00:00Z",
            "BBBBBB|acme|b1|Done|2026-01-31T12:00:00Z",
            "CCCCCC|acme|b1||",
          ])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func knownJobsComePageByPageAndAnImportChangesNone(
    kind: StoreKind
  ) async throws {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      _ = try await store.upsert([.sample("BBBBBB", status: "fetched")], for: job)
      let imported = ["EEEEEE", "BBBBBB", "AAAAAA", "DDDDDD", "AAAAAA"].map {
        JobDocument.sample($0)
      }
      #expect(try await store.add(imported + [.sample("CCCCCC", account: "other")]) == 4)
      #expect(try await store.add(imported) == 0)
      #expect(
        try await subject.rows("SELECT batch, status FROM jobs WHERE uuid < 'C' ORDER BY uuid")
          == ["import|Submitted", "b1|fetched"])
      var pages: [[String]] = []
      while pages.last?.isEmpty != true {
        pages.append(
          try await store.jobs(account: "acme", after: pages.last?.last, limit: 3))
      }
      #expect(pages == [["AAAAAA", "BBBBBB", "DDDDDD"], ["EEEEEE"], []])
      let broken = JobDocument(
        uuid: "FFFFFF", account: "acme", document: Array("{".utf8), contentHash: "")
      #expect(
        try await refusal { _ = try await store.add([.sample("GGGGGG"), broken]) } == .invalid)
      #expect(try await store.jobs(account: "acme", after: "EEEEEE", limit: 3) == [])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func documentsOfAnyShapeComeBackAsTheyWent(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      // Workiz's types are unstable: the extracted columns take whatever is there.
      let long = String(repeating: "ü", count: 5_000)
      let texts = [
        #"{"Status":7,"JobDateTime":["x"]}"#, #"{"Status":{"a":"ü \\u0000 \" 🛠"}}"#, "[]", "null",
        #"{"Status":"\#(long)","JobDateTime":"\#(long)"}"#,
      ]
      for (number, text) in texts.enumerated() {
        let document = JobDocument(
          uuid: "JOB00\(number)", account: "acme", document: [UInt8](text.utf8), contentHash: "h")
        #expect(try await store.upsert([document], for: job) == 1)
        #expect(try await store.upsert([document], for: job) == 0)
      }
      let documents = try await subject.rows("SELECT document FROM jobs ORDER BY uuid").map(json)
      let expected = try texts.map(json)
      #expect(documents == expected)
      try await store.close()
    }
  }

  private func json(_ text: String) throws -> JSON { try JSON(parsing: text.utf8) }

  /// JSON has it, PostgreSQL's jsonb does not.
  @Test(arguments: StoreKind.allCases) func aDocumentWithNULIsKeptOrInvalid(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      let text = #"{"Status":"a\u0000b"}"#
      let document = JobDocument(
        uuid: "AAAAAA", account: "acme", document: [UInt8](text.utf8), contentHash: "h")
      let code = try await refusal { _ = try await store.upsert([document], for: job) }
      #expect(code == (kind == .sqlite ? nil : .invalid))
      let documents = try await subject.rows("SELECT document FROM jobs")
      #expect(documents == (kind == .sqlite ? [text] : []))
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func ofADocumentThatStandsTwiceTheLastCounts(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      let changed = try await store.upsert(
        [.sample("AAAAAA"), .sample("BBBBBB"), .sample("AAAAAA", status: "Done")], for: job)
      #expect(changed >= 2)
      #expect(
        try await subject.rows("SELECT uuid, status FROM jobs ORDER BY uuid")
          == ["AAAAAA|Done", "BBBBBB|Submitted"])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases, ["{\"UUID\":", "", "{\"a\":1}x"])
  func aBrokenDocumentIsInvalidAndItsNeighboursAreNotWritten(kind: StoreKind, text: String)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      let broken = JobDocument(
        uuid: "BBBBBB", account: "acme", document: [UInt8](text.utf8), contentHash: "h")
      let code = try await refusal {
        _ = try await store.upsert([.sample("AAAAAA"), broken, .sample("CCCCCC")], for: job)
      }
      #expect(code == .invalid)
      #expect(try await subject.rows("SELECT * FROM jobs").isEmpty)
      #expect(try await store.upsert([.sample("AAAAAA")], for: job) == 1)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func hashesAreOfTheAccountsJobsAskedFor(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      let job = StageJob.sample(fence: 1, 1)
      try await store.raise(job)
      let many = (0..<2_000).map { JobDocument.sample("J\(10_000 + $0)") }
      #expect(try await store.upsert(many, for: job) == 2_000)
      _ = try await store.upsert(
        [.sample("AAAAAA"), .sample("AAAAAA", account: "other", status: "Done")], for: job)
      #expect(
        try await store.contentHashes(account: "other", uuids: ["AAAAAA", "J10000", "A'\"\\"])
          == ["AAAAAA": "hash of Done"])
      #expect(try await store.contentHashes(account: "acme", uuids: []).isEmpty)
      #expect(
        try await store.contentHashes(account: "acme", uuids: many.map(\.uuid) + ["AAAAAA"]).count
          == 2_001)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func fourWorkersWriteAtOnce(kind: StoreKind) async throws {
    try await Subject.with(kind) { subject in
      try await withThrowingTaskGroup { group in
        for worker in 0..<4 {
          group.addTask { try await write(20, batchesAs: worker, to: try await subject.open()) }
        }
        try await group.waitForAll()
      }
      #expect(try await subject.rows("SELECT count(*) FROM jobs") == ["800"])
      #expect(
        try await subject.rows("SELECT status, count(*) FROM batches GROUP BY status")
          == ["completed|80"])
      #expect(try await subject.rows("SELECT count(*) FROM batch_processing_data") == ["80"])
    }
  }
}

/// Writes batches of 10 jobs from the fence to the end and closes the store.
func write(_ count: Int, batchesAs worker: Int, to store: any ResultsStore) async throws {
  for number in 1...count {
    let batch = "b\(worker)-\(number)"
    let job = StageJob.sample(batch, fence: 1, worker * 1_000 + number)
    try await store.raise(job)
    let documents = (0..<10).map { JobDocument.sample("\(batch)-\($0)") }
    #expect(try await store.upsert(documents, for: job) == 10)
    try await store.record([.sample(batch, number: number)])
  }
  try await store.close()
}
