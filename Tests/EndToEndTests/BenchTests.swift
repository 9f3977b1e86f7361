import Pipeline
import TestSupport
import Testing

extension ProcessTests {
  /// `batchd-dev bench` as somebody runs it, at a hundredth of its size: what it says, never how fast it is.
  @Suite struct BenchTests {
    @Test func figuresStandBesideTheirYardstick() async throws {
      let folder = try TestFolder()
      let bench = try Program(
        "batchd-dev",
        ["bench", "drain", "items", "store", "--scale", "0.01", "--aof", "off", "--json"],
        output: "\(folder.path)/bench.json")
      #expect(await bench.exitStatus(within: .seconds(120)) == 0, "\(bench.output)")
      let text = try #require(bench.output.firstIndex(of: "{").map { bench.output[$0...] })
      let rows = try #require(try JSON(parsing: Array(text.utf8))["rows"]?.array)
      var seen: Set<String> = []
      for row in rows {
        #expect(Self.number(row["lpush"]) > 0)
        let figure = try #require(row["figure"])
        seen.insert("\(figure["workload"]?.string ?? "") \(figure["name"]?.string ?? "")")
      }
      for name in [
        "drain batches/s", "drain of the ceiling", "drain Redis CPU per batch",
        "drain batches/s with admission", "items items/s", "store SQLite rows/s, 10 a transaction",
      ] { #expect(seen.contains(name), "\(name)") }
    }

    private static func number(_ value: JSON?) -> Double {
      switch value {
      case .integer(let number)?: Double(number)
      case .number(let number)?: number
      default: 0
      }
    }
  }
}
