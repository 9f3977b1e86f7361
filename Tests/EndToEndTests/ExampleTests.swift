import Foundation
import Pipeline
import TestSupport
import Testing

extension ProcessTests {
  /// What a reader of `deploy/examples` does first.
  @Suite struct ExampleTests {
    private static let items = [
      "shell": #"["hello there","the quick brown fox jumps"]"#,
      "images": #"["0.png","1.jpg"]"#,
      "http": #"[{"id":"o1","cents":1000,"country":"DE"}]"#,
    ]

    @Test func everyExampleIsTried() throws {
      let names = try FileManager.default.contentsOfDirectory(atPath: ExampleSite.examples.path)
      // The one in Swift is a program of its own: SwiftStageTests.
      #expect(Set(names.filter { !$0.hasPrefix(".") }) == Set(Self.items.keys).union(["swift"]))
    }

    @Test(arguments: items.keys.sorted()) func everyStageCanBeTried(_ name: String) async throws {
      let port = name == "http" ? try freePort() : nil
      let environment = name == "http" ? ExampleApplication.environment : [:]
      try await ExampleSite.with(name, port: port, environment: environment) { site in
        let check = try await site.batchd(["check-config", site.configPath])
        #expect(check.status == 0, "\(check.output)")
        if name == "images" { try await site.makeImages(2) }
        let application = port.map { ExampleApplication(site, port: $0) }
        try await application?.start()
        try await Self.tryStages(of: name, site)
        application?.kill()
      }
    }

    /// Each in its turn, with what those before it said.
    private static func tryStages(of name: String, _ site: ExampleSite) async throws {
      let text = try String(contentsOfFile: site.configPath, encoding: .utf8)
      let stages = text.matches(of: /(?m)^\[pipelines\.(\w+)\.(\w+)\]$/)
      #expect(stages.count >= 4)
      var inputs: [String: JSON] = [:]
      for stage in stages {
        let (status, output) = try await site.batchd([
          "try", "\(stage.1).\(stage.2)", "--config", site.configPath, "--json", "--items",
          try #require(items[name]), "--inputs",
          String(decoding: JSON.object(inputs).bytes, as: UTF8.self),
        ])
        #expect(status == 0, "\(output)")
        var said: [String: JSON] = [:]
        var each: [String: JSON] = [:]
        // An answer for each call: one, or one for each item.
        for call in try output.split(separator: "\n").map({ try JSON(parsing: $0.utf8) }) {
          #expect(call["verdict"] == .string("done"))
          for line in call["lines"]?.array ?? [] {
            #expect(line["error"] == nil, "\(output)")
            if let item = line["item"]?.string {
              each[item] = line["output"]
            } else {
              said["output"] = line["output"]
            }
          }
        }
        said["items"] = .object(each)
        inputs[String(stage.2)] = .object(said)
      }
    }
  }
}
