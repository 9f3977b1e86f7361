import Pipeline

extension WorkizWorld {
  /// The whole document of a job, with the service's unstable types (FACTS.md section 1). The same
  /// seed, account and job give the same document each time. Every person in it is made up.
  func document(of job: Job, in account: Account) -> JSON {
    var generator = SeededGenerator(seed: seed, "document", account.name, job.uuid)
    let lines = (0..<generator.integer(0...4)).map { _ in Self.line(&generator) }
    let subtotal = lines.reduce(0) { $0 + $1.cents }
    let total = subtotal + subtotal * 8 / 100
    let isPaid = job.status == "Done" && generator.chance(0.7)
    var members: [String: JSON] = [
      "UUID": .string(job.uuid),
      "LocationId": .integer(Int64(generator.integer(1_000...1_003))),
      "SerialId": generator.chance(0.5)
        ? .integer(Int64(job.serial)) : .string(String(job.serial)),
      "ClientId": .integer(Int64(generator.integer(1...9_999))),
      "Timezone": .string(account.timezone),
      "Status": .string(job.status),
      "SubStatus": .string(generator.pick(["", "", "Waiting for parts", "Call back"])),
      "JobType": .string(generator.pick(["Service", "Repair", "Installation", "Estimate"])),
      "JobNotes": .string(generator.pick(["", "Gate code 0000", "Beware of the \"dog\" — große"])),
      "JobSource": .string(generator.pick(["Google", "Referral", "Yelp", ""])),
      "CreatedBy": .string("Sim Dispatcher"),
      "JobTotalPrice": .number(Double(total) / 100),
      "JobAmountDue": .number(isPaid ? 0 : Double(total) / 100),
      "SubTotal": .number(Double(subtotal) / 100),
      "Tags": .array(generator.chance(0.4) ? [.string("vip"), .string("simulated")] : []),
      "Team": .array(
        (1...generator.integer(1...3)).map { index in
          .object(["id": .integer(Int64(100 + index)), "Name": .string("Technician \(index)")])
        }),
      "LineItems": .array(lines.map(\.document)),
    ]
    members.merge(Self.times(of: job, &generator)) { $1 }
    members.merge(Self.client(&generator)) { $1 }
    if generator.chance(0.7) { members["item_cost"] = .number(Double(subtotal / 3) / 100) }
    if generator.chance(0.7) { members["tech_cost"] = .number(Double(subtotal / 4) / 100) }
    return .object(members)
  }

  private static func times(
    of job: Job, _ generator: inout SeededGenerator
  ) -> [String: JSON] {
    func time(_ minutes: Int) -> JSON {
      .string(WorkizTimes.text(job.startsAt + Int64(minutes) * 60))
    }
    return [
      "JobDateTime": time(0),
      "JobEndDateTime": time(generator.integer(2...16) * 15),
      "CreatedDate": time(-generator.integer(60...20_000)),
      "LastStatusUpdate": time(-generator.integer(1...59)),
      "PaymentDueDate": generator.chance(0.4) ? .string("") : time(14 * 1_440),
    ]
  }

  private static func client(_ generator: inout SeededGenerator) -> [String: JSON] {
    let phone = Int64(5_550_100 + generator.integer(0...99))
    let comments = "Please ring twice"
    return [
      "FirstName": .string(generator.pick(["Alex", "Robin", "Sam", "Kim"])),
      "LastName": .string(generator.pick(["Example", "Sample", "O'Test", "Demo"])),
      "Email": .string("client\(generator.integer(1...999))@example.com"),
      "Phone": .string("555\(phone)"),
      "SecondPhone": generator.chance(0.5) ? .string("") : .integer(5_550_000_000 + phone),
      "Address": .string("\(generator.integer(1...999)) Example Street"),
      "City": .string("Sampleton"),
      "State": .string("NY"),
      "PostalCode": .string("0\(generator.integer(1_000...9_999))"),
      "Country": .string("US"),
      "Unit": generator.pick([.string(""), .string("4B"), .integer(12)]),
      "Latitude": .number(Double(generator.integer(25_000...48_000)) / 1_000),
      "Longitude": .number(Double(generator.integer(-124_000...(-67_000))) / 1_000),
      "Comments": generator.pick([
        .string(""), .string(comments), .array([.object(["Comment": .string(comments)])]),
      ]),
    ]
  }

  private static func line(_ generator: inout SeededGenerator) -> (document: JSON, cents: Int) {
    let quantity = generator.integer(1...5)
    let price = generator.integer(500...40_000)
    let document: [String: JSON] = [
      "Id": .integer(Int64(generator.integer(1...99_999))),
      "Quantity": .integer(Int64(quantity)),
      "Price": .number(Double(price) / 100),
      "Cost": .number(Double(price / 2) / 100),
      "Taxable": .integer(Int64(generator.integer(0...1))),
      "InventorySync": .bool(generator.chance(0.5)),
      "Name": .string(generator.pick(["Labor", "Filter", "Valve", "Motor"])),
      "Description": .string(""),
      "BrandName": .string(""),
      "BrandId": .integer(0),
      "Type": .string(generator.pick(["service", "product"])),
      "ModelNum": .string(""),
    ]
    return (.object(document), quantity * price)
  }
}
