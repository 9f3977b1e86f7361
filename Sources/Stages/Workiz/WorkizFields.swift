import Foundation
import Pipeline

/// The normalised fields of a job: stable names and types over the service's unstable ones.
enum WorkizFields {
  /// Times become RFC 3339 in UTC, amounts numbers, the rest texts; what the service left out is null.
  /// What it sent but cannot be read is null too, and named under `problems`.
  static func normalise(_ document: JSON) -> JSON {
    var fields: [String: JSON] = [:]
    var problems: [String] = []
    for (name, key) in texts {
      fields[name] = document[key].flatMap(Lenient.text).map { .string($0) } ?? .null
    }
    for (name, key) in amounts {
      let value = document[key].flatMap(Lenient.number)
      fields[name] = value.map { .number($0) } ?? .null
      if value == nil, !Lenient.isBlank(document[key]) { problems.append("\(key) is not a number") }
    }
    let zone = document["Timezone"]?.string.flatMap { TimeZone(identifier: $0) }
    if zone == nil { problems.append("Timezone is not an IANA zone name: times are unknown") }
    for (name, key) in times {
      let moment = time(document[key], zone)
      fields[name] = moment.map { .string($0.description) } ?? .null
      if moment == nil, zone != nil, !isNoTime(document[key]) {
        problems.append("\(key) is not a time as YYYY-MM-DD HH:MM:SS")
      }
    }
    fields["comments"] = document["Comments"].flatMap(Lenient.comments).map { .string($0) } ?? .null
    fields["tags"] = list(document["Tags"]) { Lenient.text($0) }
    fields["team"] = list(document["Team"]) { $0["Name"].flatMap(Lenient.text) }
    addLines(document["LineItems"], &fields, &problems)
    fields["problems"] = .array(problems.map { .string($0) })
    return .object(fields)
  }

  /// The normalised name of each field, and the service's.
  static let texts = [
    ("uuid", "UUID"), ("serial", "SerialId"), ("client", "ClientId"), ("location", "LocationId"),
    ("status", "Status"), ("sub_status", "SubStatus"), ("type", "JobType"), ("source", "JobSource"),
    ("created_by", "CreatedBy"), ("timezone", "Timezone"), ("unit", "Unit"), ("phone", "Phone"),
    ("second_phone", "SecondPhone"),
  ]
  static let money = [
    ("total", "JobTotalPrice"), ("amount_due", "JobAmountDue"), ("subtotal", "SubTotal"),
    ("item_cost", "item_cost"), ("tech_cost", "tech_cost"),
  ]
  static let amounts = money + [("latitude", "Latitude"), ("longitude", "Longitude")]
  static let times = [
    ("starts_at", "JobDateTime"), ("ends_at", "JobEndDateTime"), ("created_at", "CreatedDate"),
    ("status_updated_at", "LastStatusUpdate"), ("payment_due_at", "PaymentDueDate"),
  ]

  private static func time(_ value: JSON?, _ zone: TimeZone?) -> Timestamp? {
    guard let zone, let text = value?.string else { return nil }
    return WorkizTime.moment(text.trimmingCharacters(in: .whitespaces), in: zone)
  }

  /// The zero date is how MySQL, and so services built on it, write "no time".
  private static func isNoTime(_ value: JSON?) -> Bool {
    Lenient.isBlank(value) || value?.string?.hasPrefix("0000-00-00") == true
  }

  private static func list(_ value: JSON?, _ read: (JSON) -> String?) -> JSON {
    .array((value?.array ?? []).compactMap { read($0).map { .string($0) } })
  }

  private static func addLines(
    _ value: JSON?, _ fields: inout [String: JSON], _ problems: inout [String]
  ) {
    let lines = value?.array ?? []
    var total: Int64 = 0
    for (index, line) in lines.enumerated() {
      let quantity = line["Quantity"].flatMap(Lenient.number)
      let price = line["Price"].flatMap(Lenient.number)
      if let quantity, let price, let cents = Cents.of(quantity * price),
        let sum = Cents.sum(total, cents)
      {
        total = sum
      } else {
        problems.append("LineItems[\(index)] has no readable Quantity and Price")
      }
    }
    fields["line_count"] = .integer(Int64(lines.count))
    fields["line_total"] = .number(Cents.number(total))
  }
}
