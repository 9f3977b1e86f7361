internal import Queue

/// What `retry` or `cancel` found, and what became of it.
struct StepReport: Encodable, Sendable {
  struct Answer: Encodable, Sendable {
    let batch: String
    /// The function's words.
    let answer: String
  }

  struct Refusal: Encodable, Sendable {
    let batch: String
    /// NOTFOUND, LIVE, DONE, ENDED, BROKEN, BADARG; CHANGED when the filter fits no more.
    let reason: String
    let message: String
  }

  let verb: String
  let isDryRun: Bool
  /// Batches that were chosen.
  var matched = 0
  private(set) var statuses: [String: Int] = [:]
  private(set) var stages: [String: Int] = [:]
  private(set) var accounts: [String: Int] = [:]
  private(set) var errors: [String: Int] = [:]
  /// By the first word of the function's answer: `retrying`; `cancelled`, `cancelling`.
  private(set) var done: [String: Int] = [:]
  private(set) var answers: [Answer] = []
  private(set) var refused: [String: Int] = [:]
  private(set) var refusals: [Refusal] = []
  var isInterrupted = false

  /// Of more answers, refusals and errors only the number is kept.
  private static let most = 100
  private static let errorLength = 120

  init(_ verb: String, isDryRun: Bool) {
    self.verb = verb
    self.isDryRun = isDryRun
  }

  var doneCount: Int { done.values.reduce(0, +) }
  var refusedCount: Int { refused.values.reduce(0, +) }

  mutating func count(_ batch: BatchState) {
    matched += 1
    statuses[batch.status, default: 0] += 1
    stages[batch.stage ?? "", default: 0] += 1
    accounts[batch.account ?? "", default: 0] += 1
    guard let error = batch.error else { return }
    let text = String(error.prefix(Self.errorLength))
    errors[errors.count < Self.most ? text : errors[text] == nil ? "other" : text, default: 0] += 1
  }

  mutating func note(_ batch: String, _ verdict: Control.Verdict) throws {
    switch verdict {
    case .done(let words):
      done[String(words.prefix { $0 != " " }), default: 0] += 1
      if answers.count < Self.most { answers.append(Answer(batch: batch, answer: words)) }
    case .refused(let reason, let message): refuse(batch, reason, message)
    case .failed(let error): throw error
    }
  }

  /// - Parameter words: `cancelled 3, cancelling 1, ended before 2; …`, or one word for a single batch.
  mutating func noteOperation(_ words: String) {
    for part in words.prefix(while: { $0 != ";" }).split(separator: ",") {
      let pair = part.split(separator: " ")
      guard pair.count <= 2, let name = pair.first.map(String.init) else { continue }
      let count = pair.count == 2 ? Int(pair[1]) ?? 0 : 1
      matched += count
      if count > 0 { done[name, default: 0] += count }
    }
  }

  mutating func refuse(_ batch: String, _ reason: String, _ message: String) {
    refused[reason, default: 0] += 1
    guard refusals.count < Self.most else { return }
    refusals.append(Refusal(batch: batch, reason: reason, message: message))
  }

  /// What was chosen, for a person.
  var choice: [StyledLine] {
    let groups = [
      ("status", statuses), ("stage", stages), ("account", accounts), ("error", errors),
    ]
    return ["\(Wording.count(matched, "batch", "batches")) to \(verb)"]
      + groups.flatMap { name, counts in
        let sorted = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let shown = sorted.prefix(Self.shown).enumerated().map { at, group in
          let (key, count) = group
          let text = key.isEmpty ? "none" : key
          return StyledLine("  " + Columns.padded(at == 0 ? name : "", 9), .dim)
            + StyledLine("\(Wording.count(count))  \(text)")
        }
        let rest = sorted.count - Self.shown
        return shown
          + (rest > 0
            ? [StyledLine("  " + Columns.padded("", 9) + "and \(Wording.count(rest)) more", .dim)]
            : [])
      }
  }

  private static let shown = 8

  /// What was done, in one line.
  var outcome: String {
    var parts = done.sorted { $0.key < $1.key }.map { "\($0.key) \(Wording.count($0.value))" }
    if parts.isEmpty { parts = ["none"] }
    let total = " of \(Wording.count(matched, "batch", "batches"))"
    let refusals = refused.sorted { $0.key < $1.key }.map {
      "\(Wording.count($0.value)) \($0.key == "CHANGED" ? "changed meanwhile" : "refused (\($0.key))")"
    }
    return parts.joined(separator: ", ") + total
      + (refusals.isEmpty ? "" : "; " + refusals.joined(separator: ", "))
  }
}
