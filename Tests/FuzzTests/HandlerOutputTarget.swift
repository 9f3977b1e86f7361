import Pipeline

@testable import Stages

/// What a command or an endpoint answers: how it comes in pieces changes nothing, no item is reported that was not
/// handed over or twice, and what is wrong can be shown to a person. The first byte decides over the pieces and the feed.
func checkHandlerOutput(_ input: [UInt8]) throws {
  guard let seed = input.first else { return }
  let text = Array(input.dropFirst())
  let feed = seed & 1 == 0 ? Feed.batch : .item
  let items = (feed == .item ? ["A1"] : ["A1", "A2", "7"]).map { Item(id: $0, value: .string($0)) }
  let whole = readHandler(text, items, feed, size: max(text.count, 1))
  let pieces = readHandler(text, items, feed, size: 1 + Int(seed >> 1))
  try demand(whole.lines == pieces.lines, "at once \(whole.lines), in pieces \(pieces.lines)")
  try demand(
    (whole.failure == nil) == (pieces.failure == nil), "\(whole.failure ?? pieces.failure ?? "")")
  let known = Set(items.map(\.id))
  var reported: Set<String> = []
  for line in whole.lines {
    switch line {
    case .item(let id, _), .retry(let id, _):
      try demand(known.contains(id), "reported \(id), which is unknown")
      try demand(reported.insert(id).inserted, "reported \(id) twice")
    case .output: try demand(feed == .batch, "an output of an item alone is the item's")
    }
  }
  if let failure = whole.failure {
    try demand(failure.utf8.count < 1_024, "a message of \(failure.utf8.count) bytes")
    try demand(
      !failure.unicodeScalars.contains { $0.properties.generalCategory == .control },
      "a message with control characters")
  }
}

private func readHandler(
  _ text: [UInt8], _ items: [Item], _ feed: Feed, size: Int
) -> (lines: [HandlerLine], failure: String?) {
  var output = HandlerOutput(
    "standard output", items: items, feed: feed,
    limits: .init(outputBytes: 1_024, totalBytes: .max))
  var lines: [HandlerLine] = []
  for start in stride(from: 0, to: text.count, by: size) {
    lines += output.read(Array(text[start..<min(start + size, text.count)]))
  }
  lines += output.end()
  return (lines, output.failure)
}
