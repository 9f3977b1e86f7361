import Foundation
import Pipeline
import Testing

@testable import Stages

@Suite struct WorkizNormaliseTests {
  @Test(arguments: [
    ("2026-01-15 09:30:00", "America/New_York", "2026-01-15T14:30:00.000Z"),
    ("2026-07-15 09:30:00", "America/New_York", "2026-07-15T13:30:00.000Z"),
    // In the hour that the spring change skips, and in the one that autumn has twice.
    ("2026-03-08 02:30:00", "America/New_York", "2026-03-08T07:30:00.000Z"),
    ("2026-11-01 01:30:00", "America/New_York", "2026-11-01T05:30:00.000Z"),
    ("2026-10-04 02:30:00", "Australia/Sydney", "2026-10-03T16:30:00.000Z"),
    ("2024-02-29 23:59:59", "GMT", "2024-02-29T23:59:59.000Z"),
  ])
  func placesLocalTimes(_ text: String, _ zone: String, _ expected: String) throws {
    let zone = try #require(TimeZone(identifier: zone))
    #expect(WorkizTime.moment(text, in: zone)?.description == expected)
  }

  @Test(arguments: [
    "", "2026-01-15", "2026-02-30 00:00:00", "2026-13-01 00:00:00", "2026-01-15 24:00:00",
    "2026-01-15T09:30:00", "0000-00-00 00:00:00", "2026-01-15 09:60:00", "x026-01-15 09:30:00",
  ])
  func refusesWhatIsNoTime(_ text: String) {
    #expect(WorkizTime.moment(text, in: .gmt) == nil)
  }

  /// 64 bits of cents end below what 16 MiB of lines can ask for.
  @Test func aTotalBeyondAllBoundsIsAProblemAndNoCrash() {
    let line = JSON.object(["Quantity": .integer(1), "Price": .number(9e11)])
    let fields = WorkizFields.normalise(
      .object(["LineItems": .array([JSON](repeating: line, count: 110_000))]))
    #expect(fields["line_count"] == .integer(110_000))
    #expect(
      fields["problems"]?.array?.last
        == .string("LineItems[109999] has no readable Quantity and Price"))
    var summary = WorkizSummary()
    for _ in 0..<110_000 { summary.add(.object(["total": .number(9e11)]), .new) }
    #expect(summary.json["items"] == .integer(110_000))
  }

  @Test func aCursorWithNumbersAtTheEndOf64BitsStopsNobody() throws {
    let end = JSON.integer(.max)
    var summary = WorkizSummary(
      .object(["items": end, "new": end, "by_status": .object(["Done": end])]))
    summary.add(.object(["status": .string("Done")]), .new)
    #expect(summary.json["items"] == .integer(1))
  }

  @Test func readsUnstableTypes() {
    #expect(Lenient.text(.integer(5_550_100)) == "5550100")
    #expect(Lenient.text(.string("  ")) == nil)
    #expect(Lenient.number(.string("$1,250.50")) == 1_250.5)
    #expect(Lenient.number(.string("nan")) == nil)
    #expect(Lenient.number(.string("twelve")) == nil)
    #expect(Lenient.integer(.string("12")) == 12)
    let comments = JSON.array([
      .object(["Comment": .string("one")]), .object(["Comment": .string("two")]),
    ])
    #expect(Lenient.comments(comments) == "one\ntwo")
    #expect(Lenient.comments(.string("one")) == "one")
  }

  @Test func normalisesADocument() throws {
    let fields = WorkizFields.normalise(try Sample.document())
    #expect(fields["uuid"] == .string("A1B2C3"))
    #expect(fields["serial"] == .string("1007"))
    #expect(fields["starts_at"] == .string("2026-01-15T14:30:00.000Z"))
    #expect(fields["payment_due_at"] == .null)
    #expect(fields["second_phone"] == .string("5550100"))
    #expect(fields["unit"] == .string("12"))
    #expect(fields["comments"] == .string("ring twice"))
    #expect(fields["total"] == .number(108.5))
    #expect(fields["tech_cost"] == .null)
    #expect(fields["tags"] == .array([.string("vip")]))
    #expect(fields["team"] == .array([.string("Technician 1")]))
    #expect(fields["line_count"] == .integer(2))
    #expect(fields["line_total"] == .number(100.3))
    #expect(fields["problems"] == .array([]))
  }

  @Test func namesWhatItCannotRead() throws {
    var members = try #require(try Sample.document().object)
    members["JobTotalPrice"] = .string("a lot")
    members["JobEndDateTime"] = .string("soon")
    members["CreatedDate"] = .string("0000-00-00 00:00:00")
    let fields = WorkizFields.normalise(.object(members))
    #expect(
      fields["problems"]
        == .array([
          .string("JobTotalPrice is not a number"),
          .string("JobEndDateTime is not a time as YYYY-MM-DD HH:MM:SS"),
        ]))
    #expect(fields["total"] == .null && fields["ends_at"] == .null)
  }

  /// Whatever the service sends, normalising answers an object.
  @Test func survivesAnyShape() {
    for value: JSON in [
      .null, .integer(1), .array([]), .string("x"), .object(["LineItems": .bool(true)]),
    ] {
      #expect(WorkizFields.normalise(value).object != nil)
    }
    let keys = (WorkizFields.texts + WorkizFields.amounts + WorkizFields.times).map(\.1)
    let values: [JSON] = [
      .null, .bool(true), .array([.null]), .object([:]), .integer(.max), .number(1e308),
    ]
    for value in values {
      let fields = WorkizFields.normalise(
        .object(Dictionary(uniqueKeysWithValues: keys.map { ($0, value) })))
      #expect(fields["problems"]?.array != nil)
      guard case .failed = WorkizValidation.result(fields, uuid: "A1B2C3") else {
        Issue.record("valid: \(value)")
        continue
      }
    }
  }
}

/// A document of the service's shape, with values that are made up.
enum Sample {
  static func document() throws -> JSON {
    try JSON(
      parsing: Array(
        #"""
        {"UUID":"A1B2C3","SerialId":1007,"ClientId":5,"LocationId":"1","Timezone":"America/New_York",
         "JobDateTime":"2026-01-15 09:30:00","JobEndDateTime":"2026-01-15 11:00:00",
         "CreatedDate":"2026-01-10 08:00:00","LastStatusUpdate":"2026-01-15 11:05:00",
         "PaymentDueDate":"","Status":"Done","SubStatus":"","JobType":"Repair","JobSource":"Google",
         "CreatedBy":"Sim","JobTotalPrice":"108.50","JobAmountDue":8.5,"SubTotal":100.3,"item_cost":30,
         "SecondPhone":5550100,"Phone":"5550199","Unit":12,"Latitude":"40.5","Longitude":-74.25,
         "Comments":[{"Comment":"ring twice"}],"Tags":["vip"],"Team":[{"id":1,"Name":"Technician 1"}],
         "LineItems":[{"Quantity":3,"Price":0.1},{"Quantity":"2","Price":"50.00"}]}
        """#.utf8))
  }
}
