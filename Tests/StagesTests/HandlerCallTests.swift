import Pipeline
import Synchronization
import Testing

@testable import Stages

/// The text that a handler is handed.
@Suite struct HandlerCallTests {
  private func text(_ call: HandlerCall) async throws -> String {
    var bytes: [UInt8] = []
    for try await piece in call.text { bytes += piece }
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func holdsWhatTheProtocolPromises() async throws {
    let inputs = JSON.object([
      "setup": .object(["output": .object(["n": .integer(1)])]),
      "extraction": .object(["items": .object(["A1": .string("é\n"), "A\"2": .null])]),
      // Of this stage and later ones there is nothing to hand over, whatever was asked.
      "annotation": .object(["output": .integer(9)]),
    ])
    let call = HandlerCall(.test(items: ["A1", "A\"2"]), inputs: HandlerInputs(inputs))
    let text = try await text(call)
    #expect(text.hasSuffix("}\n"))
    #expect(text.filter { $0 == "\n" }.count == 1)
    #expect(try await self.text(call) == text)
    #expect(
      try JSON(parsing: text.utf8)
        == JSON(
          parsing: #"""
            {"batch":"b1","operation":"op","account":null,"pipeline":"demo","stage":"annotation","run":2,"attempt":3,
             "items":["A1","A\"2"],"payload":{"fast":true},
             "inputs":{"setup":{"output":{"n":1}},"extraction":{"items":{"A1":"é\n","A\"2":null}}}}
            """#.utf8))
  }

  @Test func withoutInputsTheObjectIsEmpty() async throws {
    let call = HandlerCall(.test(items: [], stage: .setup), inputs: HandlerInputs(.null))
    let json = try JSON(parsing: try await text(call).utf8)
    #expect(json["inputs"] == .object([:]))
    #expect(json["items"] == .array([]))
  }

  /// 1000 outputs are asked for a few at a time, and none before the text so far is taken.
  @Test func readsItsInputsAsTheyAreTaken() async throws {
    let asked = Mutex<[Int]>([])
    let ids = (0..<1_000).map { "I\($0)" }
    let inputs = HandlerInputs(
      output: { $0 == .setup ? Array("[1,2]".utf8) : nil },
      items: { $0 == .extraction ? ids : [] },
      outputs: { _, some in
        asked.withLock { $0.append(some.count) }
        // One has gone.
        return some.map { $0 == "I500" ? nil : Array("\"\($0)\"".utf8) }
      })
    let call = HandlerCall(.test(items: ids), inputs: inputs)
    var bytes: [UInt8] = []
    var pieces = 0
    for try await piece in call.text {
      pieces += 1
      bytes += piece
      // The head, the beginning of each stage, and one piece for each that was asked for.
      #expect(asked.withLock { $0.count } >= pieces - 4)
    }
    #expect(asked.withLock { $0.allSatisfy { $0 <= 16 } && $0.reduce(0, +) == 1_000 })
    let json = try JSON(parsing: bytes)
    #expect(json["inputs"]?["setup"]?["output"] == .array([.integer(1), .integer(2)]))
    let items = try #require(json["inputs"]?["extraction"]?["items"]?.object)
    #expect(items.count == 999)
    #expect(items["I999"] == .string("I999"))
  }
}
