import Pipeline
import Testing

extension ProcessTests {
  /// `deploy/examples/shell` while workers are killed at random.
  @Suite struct ShellExampleTests {
    @Test func everyTextIsCountedOnce() async throws {
      let load = ExampleLoad(
        batches: (0..<1_000).map { number in
          let texts = Self.texts(number)
          return .init(
            id: "b\(number)", items: texts.map(JSON.string),
            failing: Set(texts.filter { $0.allSatisfy { $0 == " " } }),
            retries: texts.contains { $0.hasPrefix("later") } ? 1...1 : 0...0)
        })
      try await ExampleSite.with("shell") { site in
        try await load.run(on: site, within: .seconds(180))
        let completed = load.batches.filter { $0.status != "failed" }
        #expect(try site.names("out") == completed.map { "\($0.id).json" }.sorted())
        for batch in completed {
          let texts = batch.items.compactMap(\.string).filter { !batch.failing.contains($0) }
          let counts = texts.map { $0.split(separator: " ").count }
          let expected = JSON.object([
            "batch": .string(batch.id), "words": .integer(Int64(counts.reduce(0, +))),
            "texts": .array(
              zip(texts, counts).map { text, count in
                .object([
                  "text": .string(text), "words": .integer(Int64(count)),
                  "kind": .string(count > 4 ? "long" : "short"),
                ])
              }),
          ])
          #expect(try site.json("out/\(batch.id).json") == expected)
        }
      }
    }

    private static func texts(_ number: Int) -> [String] {
      let words = [String](repeating: "word", count: number % 9 + 1).joined(separator: " ")
      return switch number % 100 {
      case 99: ["  "]
      case 7, 57: [words, " "]
      case 13, 63: ["later \(number)", words]
      default: [words, "text \(number)"]
      }
    }
  }
}
