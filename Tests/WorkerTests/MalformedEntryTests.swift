import FoundationEssentials
import Pipeline
import TestSupport
import Testing
import Worker

/// Bad input is shown, not swallowed: each entry with the reason that names its field.
@Suite struct MalformedEntryTests {
  private static let unknownField =
    "known: id, operation, pipeline, account, items, payload, priority, delay, at, size, rerun"
  private static let identifier = "must be 1 to 128 characters of A-Z a-z 0-9 . _ -"
  private static let notJSON = "entry: not JSON in UTF-8: try it with jq"

  /// Entry, reason.
  private static let texts: [(String, String)] = [
    ("", notJSON), ("not JSON", notJSON), (#"{"id":"m"#, notJSON),
    (#"{"id":"m1"} {"id":"m2"}"#, notJSON), (#"{"id":"m" "size":1}"#, notJSON),
    ("[]", "entry: must be a JSON object, not an array"),
    (#""b1""#, "entry: must be a JSON object, not a string"),
    ("null", "entry: must be a JSON object, not null"),
    ("{}", "id: missing; an id or an operation is required"),
    (#"{"id":"m","":["A"]}"#, #""": unknown field; \#(unknownField)"#),
    (#"{"id":"m","itmes":["A"]}"#, "itmes: unknown field; \(unknownField)"),
    (#"{"id":true}"#, "id: must be a string or an integer, not a boolean"),
    (#"{"id":1.5}"#, "id: must be a string or an integer, not a number"),
    (#"{"id":null}"#, "id: must be a string or an integer, not null"),
    (#"{"id":""}"#, "id: \(identifier)"), (#"{"id":"a b"}"#, "id: \(identifier)"),
    (#"{"id":"a:b"}"#, "id: \(identifier)"), (#"{"id":"\u0000"}"#, "id: \(identifier)"),
    (#"{"id":"\#(String(repeating: "x", count: 129))"}"#, "id: \(identifier)"),
    (#"{"operation":["o"]}"#, "operation: must be a string or an integer, not an array"),
    (#"{"id":"m","operation":"ö"}"#, "operation: \(identifier)"),
    (#"{"id":"m","pipeline":{}}"#, "pipeline: must be a string or an integer, not an object"),
    (#"{"id":"m","pipeline":"Demo"}"#, #"pipeline: "Demo" is not known; known: demo, other"#),
    (#"{"id":"m","account":false}"#, "account: must be a string or an integer, not a boolean"),
    (#"{"id":"m","account":"a/b"}"#, "account: \(identifier)"),
    (#"{"id":"m","items":"A"}"#, "items: must be an array, not a string"),
    (
      #"{"id":"m","items":["A",true]}"#,
      "items[1]: must be a string, an integer or an object with an id, not a boolean"
    ),
    (#"{"id":"m","items":[{"name":"A"}]}"#, "items[0].id: missing"),
    (
      #"{"id":"m","items":[{"id":[]}]}"#,
      "items[0].id: must be a string or an integer, not an array"
    ),
    (
      #"{"id":"m","items":["A","B","A"]}"#,
      #"items[2]: "A" stands at items[0] already: leave one out"#
    ),
    (
      #"{"id":"m","items":["7",{"id":7}]}"#,
      #"items[1]: "7" stands at items[0] already: leave one out"#
    ),
    (
      #"{"id":"m","items":[""]}"#,
      "items[0]: its id must have 1 to 256 bytes (limits.item_id_bytes)"
    ),
    (
      #"{"id":"m","items":[\#((0...10_000).map(String.init).joined(separator: ","))]}"#,
      "items: 10001 items, the limit is 10000 (limits.item_count): split it"
    ),
    (#"{"id":"m","priority":"urgent"}"#, #"priority: must be "high" or "normal""#),
    (#"{"id":"m","priority":1}"#, #"priority: must be "high" or "normal""#),
    (#"{"id":"m","delay":"5"}"#, "delay: must be a number of seconds, not a string"),
    (#"{"id":"m","delay":-1}"#, "delay: must be 0 to 31622400 seconds (limits.delay_seconds)"),
    (#"{"id":"m","delay":1e300}"#, "delay: must be 0 to 31622400 seconds (limits.delay_seconds)"),
    (
      #"{"id":"m","at":"2026-01-31T12:00:00"}"#,
      #"at: must be RFC 3339 with a zone, like "2026-01-31T12:00:00Z""#
    ),
    (
      #"{"id":"m","at":1767225600}"#,
      #"at: must be RFC 3339 with a zone, like "2026-01-31T12:00:00Z""#
    ),
    (
      #"{"id":"m","at":"9999-12-31T00:00:00Z"}"#,
      "at: must be at most 31622400 seconds from now (limits.delay_seconds)"
    ),
    (
      #"{"id":"m","at":"2026-01-31T12:00:00Z","delay":1}"#,
      "at: give either at or delay, not both"
    ),
    (#"{"id":"m","size":0}"#, "size: must be the number of batches that the operation will have"),
    (#"{"id":"m","size":"3"}"#, "size: must be the number of batches that the operation will have"),
    (#"{"id":"m","rerun":1}"#, "rerun: must be true or false, not an integer"),
    (#"{"operation":"o","rerun":true}"#, "rerun: needs the id of the batch to run again"),
    (
      #"{"id":"m","payload":\#(String(repeating: "[", count: 1000))\#(String(repeating: "]", count: 1000))}"#,
      "entry: nested deeper than 32 levels: make it flatter (limits.json_depth)"
    ),
    (
      String(repeating: "[", count: 100_000),
      "entry: nested deeper than 32 levels: make it flatter (limits.json_depth)"
    ),
  ]

  /// What no Swift string holds.
  private static let bytes: [([UInt8], String)] = [
    (Array(#"{"id":"m","payload":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8), notJSON),
    (Array(#"{"id":"m","payload":""#.utf8) + [0xED, 0xA0, 0x80] + Array(#""}"#.utf8), notJSON),
    (Array(#"{"id":"m"#.utf8) + [0] + Array(#""}"#.utf8), notJSON),
    (Array(#"{"id":"m"}"#.utf8) + [0], notJSON),
    // UTF-16, which Foundation's decoder would take.
    (Array(#"{"id":"m"}"#.utf8).flatMap { [$0, 0] }, notJSON),
  ]

  @Test func eachIsRejectedWithItsReasonAndTheGoodOnesBetweenComplete() async throws {
    let harness = try await WorkerHarness()
    let entries = Self.texts.map { (Array($0.0.utf8), $0.1) } + Self.bytes
    let worker = try harness.worker(
      "w1",
      [
        .demo { _, _ in nil },
        PipelineDefinition(
          name: "other", stages: [.init(stage: .setup, handler: Handler { _, _ in nil })]),
      ])
    await harness.waitForWorker("w1")
    for (index, entry) in entries.enumerated() {
      try Data(entry.0).write(to: URL(filePath: "\(harness.redis.folder)/entry-\(index)"))
    }
    _ = try await harness.redis.shell(
      """
      cd "${0%/*}"; i=0
      while [ $i -lt \(entries.count) ]; do
        rcli -x LPUSH batchd:enqueue < entry-$i
        rcli LPUSH batchd:enqueue "{\\"id\\":\\"good-$i\\",\\"operation\\":\\"good\\"}"
        i=$((i + 1))
      done
      """)
    await eventually(within: .seconds(30), "the good ones complete") {
      try await harness.field("progress:good", "completed") == "\(entries.count)"
    }
    try #require(try await harness.redis.cli("LLEN", "batchd:rejected") == "\(entries.count)")
    for (index, (raw, reason)) in entries.enumerated() {
      let record = try await harness.redis.cli("LINDEX", "batchd:rejected", "\(-1 - index)")
      let header = record.prefix { $0 != "\n" }.split(separator: " ", maxSplits: 3)
      #expect(header.dropFirst().map(String.init) == ["\(raw.count)", "whole", reason])
      #expect(record.hasSuffix("\n" + String(decoding: raw, as: UTF8.self)), "\(reason)")
    }
    #expect(try await harness.field("stats", "rejected") == "\(entries.count)")
    let shown = try await harness.hash("batch:m")
    #expect(shown["status"] == "rejected")
    #expect(shown["error"]?.isEmpty == false)
    try await worker.stop()
  }
}
