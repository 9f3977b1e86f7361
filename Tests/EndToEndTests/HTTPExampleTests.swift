import GRDB
import Pipeline
import TestSupport
import Testing

extension ProcessTests {
  /// `deploy/examples/http` while workers, and once the application, are killed.
  @Suite struct HTTPExampleTests {
    /// The ledger gets a row more with each write.
    @Test func everyOrderIsInTheLedgerOnce() async throws {
      let load = ExampleLoad(batches: (0..<1_000).map(Self.orders), startsCommands: false)
      let port = try freePort()
      try await ExampleSite.with("http", port: port, environment: ExampleApplication.environment) {
        site in
        let application = ExampleApplication(site, port: port)
        try await application.start()
        try await load.run(on: site, within: .seconds(180)) {
          // The application may die, too.
          await eventually(within: .seconds(180), "a third has ended") {
            Int(try await site.hash("stats")["completed"] ?? "") ?? 0 > load.batches.count / 3
          }
          application.kill()
          try await application.start()
        }
        application.kill()
        let rows = try site.rows("orders.sqlite", #"SELECT batch, "order", cents FROM ledger"#)
        let found = rows.map { "\($0[0] as String) \($0[1] as String) \($0[2] as Int)" }
        let planned = load.batches.flatMap { batch in
          batch.items.filter { !batch.failing.contains($0["id"]?.string ?? "") }.map { order in
            let id = order["id"]?.string ?? ""
            // 1,000 cents and 19 % of them.
            return "\(batch.id) \(id) 1190"
          }
        }
        #expect(found.sorted() == planned.sorted())
      }
    }

    private static func orders(_ number: Int) -> ExampleLoad.Batch {
      func order(_ suffix: String, _ more: [String: JSON] = [:]) -> JSON {
        let all: [String: JSON] = [
          "id": .string("o\(number)\(suffix)"), "cents": .integer(1_000), "country": .string("DE"),
        ]
        return .object(all.merging(more) { $1 })
      }
      // While the application is gone, each request costs an attempt.
      func batch(_ items: [JSON], failing: Set<String> = [], retries: ClosedRange<Int> = 0...8)
        -> ExampleLoad.Batch
      {
        .init(id: "b\(number)", items: items, failing: failing, retries: retries)
      }
      return switch number % 50 {
      case 3, 23:
        batch([order("a"), order("b", ["country": .string("XX")])], failing: ["o\(number)b"])
      case 7, 27: batch([order("a", ["held": .bool(true)]), order("b")], retries: 1...8)
      case 49: batch([order("a", ["cents": .integer(-1)])], failing: ["o\(number)a"])
      default: batch([order("a"), order("b")])
      }
    }
  }
}
