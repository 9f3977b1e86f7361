internal import Pipeline
internal import Stages
internal import Worker

/// What a worker would make of what a handler said: of its lines as well as of its end.
struct TrialTally {
  private let itemCount: Int
  private let bound: OutputBound
  private var open: [String: String] = [:]
  private var failed: Set<String> = []
  private var refusal: String?

  init(itemCount: Int, bound: OutputBound) {
    self.itemCount = itemCount
    self.bound = bound
  }

  /// Items that no attempt will bring.
  var failedCount: Int { failed.count }

  mutating func take(_ line: HandlerLine) {
    switch line {
    case .item(let id, let result):
      if case .failed = bound.bounded(result) { failed.insert(id) }
    case .retry(let id, let error): open[id] = error
    case .output(let output):
      do throws(StageError) {
        _ = try bound.bounded(output)
      } catch {
        if case .permanent(let text) = error { refusal = text }
      }
    }
  }

  /// What becomes of the stage when the handler ended like this.
  func verdict(_ end: HandlerEnd.Verdict = .done) -> HandlerEnd.Verdict {
    guard end == .done else { return end }
    if !open.isEmpty { return .retry(HandlerLine.summary(ofRetries: open)) }
    if let refusal { return .permanent(refusal) }
    if itemCount > 0, failed.count == itemCount {
      return .permanent("all \(itemCount) items failed")
    }
    return .done
  }

  /// What becomes of an item that was handed over alone: only when its call ended well, what was reported counts.
  static func line(
    of item: Item, _ lines: [HandlerLine], _ end: HandlerEnd.Verdict, _ bound: OutputBound
  ) -> HandlerLine {
    switch end {
    case .retry(let text, _): return .retry(item.id, error: text)
    case .permanent(let text): return .item(item.id, .failed(text))
    case .done:
      guard case .item(let id, let result)? = lines.last else {
        return lines.last ?? .item(item.id, .done(.null))
      }
      return .item(id, bound.bounded(result))
    }
  }
}
