import Foundation
import Pipeline
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// `deploy/examples/images` while workers are killed at random.
  @Suite struct ImageExampleTests {
    private static let isLong = ProcessInfo.processInfo.environment["BATCHD_LONG"] == "1"

    @Test func everyImageHasOneThumbnailAndOneRecord() async throws {
      let count = Self.isLong ? 1_000 : 100
      let load = ExampleLoad(batches: (0..<count).map(Self.images))
      try await ExampleSite.with("images") { site in
        try await site.makeImages(3 * count)
        let waiting = (0..<count).filter { Self.late($0) != nil }
        try await load.run(on: site, within: .seconds(Self.isLong ? 900 : 120)) {
          try await Self.bringLate(waiting, site)
        }
        let completed = load.batches.filter { $0.status != "failed" }
        #expect(try site.names("out/batches") == completed.map { "\($0.id).json" }.sorted())
        var thumbnails: [String] = []
        for batch in completed {
          let record = try site.json("out/batches/\(batch.id).json")
          let names = Set(batch.items.compactMap(\.string)).subtracting(batch.failing)
          #expect(Set(record["images"]?.object?.keys.map { $0 } ?? []) == names)
          for name in names { try Self.expectFacts(record["images"]?[name], name, site) }
          thumbnails += names.map { "\($0).jpg" }
        }
        #expect(try site.names("out/thumbnails") == thumbnails.sorted())
      }
    }

    /// A thumbnail that is made again is another file.
    @Test func theBatchOfAKilledWorkerGoesOnAfterItsLastImage() async throws {
      let count = 600
      try await ExampleSite.with("images") { site in
        try await site.makeImages(count)
        let names = (0..<count).map { "\($0).\($0 % 2 == 0 ? "png" : "jpg")" }
        try await site.push([
          .object(["id": .string("b1"), "items": .array(names.map(JSON.string))])
        ])
        let worker = try site.worker("1")
        let key = RedisArgument.text("batchd:items:b1:extraction")
        await eventually(within: .seconds(60), "some thumbnails are checkpointed") {
          try await site.client.call(["HLEN", key]).integer ?? 0 > 0
        }
        await worker.killNow()
        let kept = try await site.client.call(["HKEYS", key]).array?.compactMap(\.text) ?? []
        #expect(!kept.isEmpty && kept.count < count, "the kill came too late")
        let files = try kept.map { try site.fileNumber("out/thumbnails/\($0).jpg") }
        let next = try site.worker("1")
        await eventually(within: .seconds(60), "it is completed") {
          try await site.hash("batch:b1")["status"] == "completed"
        }
        #expect(try kept.map { try site.fileNumber("out/thumbnails/\($0).jpg") } == files)
        #expect(try site.names("out/thumbnails").count == count)
        await next.killNow()
      }
    }

    private static func images(_ number: Int) -> ExampleLoad.Batch {
      let names = (3 * number..<3 * number + 3).map { "\($0).\($0 % 2 == 0 ? "png" : "jpg")" }
      func batch(_ more: [String], failing: Set<String> = [], retries: ClosedRange<Int> = 0...0)
        -> ExampleLoad.Batch
      {
        .init(
          id: "b\(number)", items: more.map(JSON.string), failing: failing, retries: retries)
      }
      switch number % 50 {
      case 4, 24: return batch(names + ["broken.jpg"], failing: ["broken.jpg"])
      case 49: return batch(["../images.py"], failing: ["../images.py"])
      default: break
      }
      guard let late = late(number) else { return batch(names) }
      return batch(names + [late], retries: 1...5)
    }

    /// The image that comes only after it was asked for.
    private static func late(_ number: Int) -> String? {
      number % 20 == 11 ? "late-\(number).png" : nil
    }

    private static func bringLate(_ numbers: [Int], _ site: ExampleSite) async throws {
      let images = "\(site.example)/out/images"
      var waiting = numbers
      await eventually(within: .seconds(600), "late images were asked for") {
        for number in waiting {
          let batch = try await site.hash("batch:b\(number)")
          guard batch["retry_count"].flatMap({ Int($0) }) ?? 0 > 0 else { continue }
          try FileManager.default.copyItem(
            atPath: "\(images)/0.png", toPath: "\(images)/.\(number)")
          try FileManager.default.moveItem(
            atPath: "\(images)/.\(number)", toPath: "\(images)/late-\(number).png")
          waiting.removeAll { $0 == number }
        }
        return waiting.isEmpty
      }
    }

    /// `samples.py` gives each image a size, a colour and a description of its own.
    private static func expectFacts(_ facts: JSON?, _ name: String, _ site: ExampleSite) throws {
      let number = Int(name.prefix { $0 != "." }) ?? 0
      let size = JSON.array([.integer(Int64(100 + number % 100)), .integer(80)])
      #expect(facts?["size"] == size, "\(name)")
      #expect(facts?["exif"]?["ImageDescription"] == .string("sample \(number)"), "\(name)")
      if name.hasSuffix("png") {
        let colour = String(format: "#%02x%02x80", number % 256, number / 256)
        #expect(facts?["average"] == .string(colour), "\(name)")
      }
      let path = try #require(facts?["thumbnail"]?.string)
      let bytes = try Data(contentsOf: URL(filePath: "\(site.example)/out/\(path)"))
      #expect(
        bytes.starts(with: [0xFF, 0xD8]) && bytes.suffix(2) == Data([0xFF, 0xD9]), "\(path)")
    }
  }
}
