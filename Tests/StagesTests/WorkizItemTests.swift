import Pipeline
import Stores
import Testing
import Worker

@testable import Stages

@Suite struct WorkizItemTests {
  @Test func takesTheElementOfDataThatWasAskedFor() throws {
    let document = try Sample.document()
    func result(_ data: JSON?) -> ItemResult {
      WorkizExtraction.document(in: .object(data.map { ["data": $0] } ?? [:]), uuid: "A1B2C3")
    }
    #expect(result(.array([document])) == .done(document))
    #expect(
      result(.array([.object(["UUID": .string("ZZZZZZ")])]))
        == .failed("asked for job A1B2C3, Workiz answered with job ZZZZZZ"))
    #expect(
      result(.array([.null])) == .failed("asked for job A1B2C3, Workiz answered with no UUID"))
    #expect(result(.array([])) == .failed("gone: Workiz answers with no data"))
    #expect(result(nil) == .failed("Workiz answered job A1B2C3 without an array 'data'"))
  }

  @Test func asksForOthersBeforeAskingAgain() throws {
    let job = Sample.job(items: ["A", "B", "C"], stage: .extraction)
    var queue = WorkizQueue(job.items)
    var asked: [String] = []
    while let item = queue.next() {
      asked.append(item.id)
      if item.id == "B" { try queue.failed(item, "520") } else { queue.settled() }
    }
    #expect(asked == ["A", "B", "C", "B", "B"])
    #expect(throws: StageError.retry("1 items could not be fetched: 520")) {
      try queue.leftovers(of: job)
    }
    let last = Sample.job(items: ["B"], stage: .extraction, attempt: 3, itemCount: 3)
    #expect(try queue.leftovers(of: last) == ["B": .failed("given up after 3 attempts: 520")])
    let alone = Sample.job(items: ["B"], stage: .extraction, attempt: 3)
    #expect(throws: StageError.self) { try queue.leftovers(of: alone) }
  }

  @Test func stopsWhenTheServiceIsDown() throws {
    var queue = WorkizQueue(Sample.job(items: ["A", "B", "C"], stage: .extraction).items)
    for _ in 1...4 { try queue.failed(queue.next()!, "520") }
    let item = queue.next()!
    #expect(throws: StageError.retry("5 requests failed in a row, the last: 520")) {
      try queue.failed(item, "520")
    }
  }

  private func verdict(_ changes: [String: JSON], uuid: String = "A1B2C3") throws -> ItemResult {
    let document = JSON.object(
      try #require(try Sample.document().object).merging(changes) { $1 })
    return WorkizValidation.result(WorkizFields.normalise(document), uuid: uuid)
  }

  @Test func validatesWithReasons() throws {
    #expect(try verdict([:]) == .done(.object(["warnings": .array([])])))
    #expect(try verdict([:], uuid: "ZZZZZZ") == .failed("UUID is A1B2C3, asked for was ZZZZZZ"))
    #expect(
      try verdict(["Status": .string(""), "JobDateTime": .string("soon")])
        == .failed(
          "Status is missing or unreadable; JobDateTime is missing or unreadable "
            + "(JobDateTime is not a time as YYYY-MM-DD HH:MM:SS)"))
    #expect(
      try verdict(["Timezone": .string("Mars/Base")])
        == .failed(
          "JobDateTime is missing or unreadable "
            + "(Timezone is not an IANA zone name: times are unknown)"))
    #expect(
      try verdict(["JobTotalPrice": .integer(-1)])
        == .failed(
          "JobTotalPrice is negative"))
    #expect(try verdict(["SubTotal": .number(1e13)]) == .failed("SubTotal is no plausible amount"))
    #expect(
      try verdict(["JobDateTime": .string("1066-10-14 09:00:00")])
        == .failed("JobDateTime is in the year 1066"))
  }

  @Test func warnsAboutWhatIsOdd() throws {
    let odd = try verdict([
      "JobEndDateTime": .string("2026-01-15 08:00:00"), "JobAmountDue": .integer(200),
      "Latitude": .integer(91), "SubTotal": .string("?"),
    ])
    #expect(
      odd
        == .done(
          .object([
            "warnings": .array([
              .string("SubTotal is not a number"),
              .string("JobEndDateTime is before JobDateTime"),
              .string("JobAmountDue is more than JobTotalPrice"),
              .string("Latitude is out of range"),
            ])
          ])))
  }

  @Test func hashesWhatTheServiceSent() throws {
    // FNV-1a of the bytes "1", computed by another implementation that meets the published vectors.
    #expect(ContentHash.of(.integer(1)) == "d228cb693f1a8caf78912b704e4a4e54")
    let document = try Sample.document()
    let again = try JSON(parsing: document.bytes)
    #expect(ContentHash.of(again) == ContentHash.of(document))
    var members = try #require(document.object)
    members["Status"] = .string("Canceled")
    #expect(ContentHash.of(.object(members)) != ContentHash.of(document))
  }

  @Test func summaryAddsAcrossAttempts() throws {
    let fields = WorkizFields.normalise(try Sample.document())
    var whole = WorkizSummary()
    for change in [WorkizSummary.Change.new, .changed, .unchanged] { whole.add(fields, change) }
    var first = WorkizSummary()
    first.add(fields, .init(hash: "a", known: nil))
    // Through the cursor, as after a crash.
    var second = WorkizSummary(try JSON(parsing: first.json.bytes))
    second.add(fields, .init(hash: "a", known: "b"))
    second.add(fields, .init(hash: "a", known: "a"))
    #expect(second == whole)
    #expect(whole.json["items"] == .integer(3) && whole.json["changed"] == .integer(1))
    #expect(whole.json["by_status"] == .object(["Done": .integer(3)]))
    #expect(whole.json["amounts"]?["total"] == .number(325.5))
    #expect(whole.json["amounts"]?["tech_cost"] == .number(0))
  }

  @Test func storesTheDocumentWhole() throws {
    let document = try Sample.document()
    let fields = WorkizFields.normalise(document)
    let row = WorkizPersistence.row(
      document, fields, .object(["warnings": .array([.string("w")])]), uuid: "A1B2C3",
      account: "acme")
    var stored = try #require(try JSON(parsing: row.document).object)
    let added = stored.removeValue(forKey: "batchd")
    #expect(.object(stored) == document)
    #expect(added?["starts_at"] == .string("2026-01-15T14:30:00.000Z"))
    #expect(added?["warnings"] == .array([.string("w")]) && added?["problems"] == nil)
    #expect(row.contentHash == ContentHash.of(document) && row.account == "acme")
  }
}

extension Sample {
  static func job(
    items: [String], stage: Stage, payload: JSON? = nil, cursor: JSON? = nil, run: Int = 1,
    attempt: Int = 1, itemCount: Int? = nil, fence: Fence = Fence(epoch: 1, counter: 1)
  ) -> StageJob {
    StageJob(
      batch: "b1", operation: "op", account: "acme", pipeline: "workiz", stage: stage, run: run,
      attempt: attempt, number: 1, fence: fence,
      items: items.map { Item(id: $0, value: .string($0)) }, itemCount: itemCount ?? items.count,
      payload: payload, cursor: cursor)
  }
}
