import Pipeline
import Redis

/// A worker's calls: what Redis answers is compared with what was promised, whether or not the worker hears it.
extension Simulation {
  /// Sends a request until the worker's epoch is the one in force, as the daemon does.
  /// - Parameter lost: the reply does not reach the worker, which will repeat the call.
  /// - Returns: the answer in a word or two.
  mutating func send(
    _ request: Request, by at: Int, lost: Bool, isZombie: Bool = false
  ) async throws -> String {
    if !workers[at].isConnected {
      try await adopt(at, lost: lost)
      if lost { return "adopted" }
    }
    for _ in 1...4 {
      guard try await isRegistered(at, before: request) else { continue }
      try await look()
      let before = picture
      guard let reply = try await ask(request, at) else { continue }
      try await look()
      let answer = try note(request, reply, at, before)
      if isZombie { return answer }
      if lost { ledger.count(.lostReply) }
      workers[at].pending = lost ? request : nil
      if !lost { try hear(request, reply, at) }
      return answer
    }
    throw Violation("no epoch is in force long enough for one call")
  }

  /// In each epoch a worker registers before all else.
  /// - Returns: whether it did; not when another epoch has begun meanwhile.
  private mutating func isRegistered(_ at: Int, before request: Request) async throws -> Bool {
    if case .register = request { return true }
    let worker = workers[at]
    if worker.registered == worker.epoch { return true }
    ledger.count(.registeredAgain)
    return try await ask(.register(boot: worker.boot), at) != nil
  }

  /// Returns nil when another epoch has begun, which the worker now knows, or when it must register again.
  private mutating func ask(_ request: Request, _ at: Int) async throws -> RedisValue? {
    let worker = workers[at]
    let (name, arguments) = request.call(by: worker)
    let reply = try await call(name, [worker.stamp(at: monotonic)] + arguments)
    if case .error(let error) = reply {
      if error.serverCode == "UNREGISTERED" {
        workers[at].registered = 0
        return nil
      }
      guard ["EPOCH", "CLOCK"].contains(error.serverCode) else {
        throw Violation("\(name) is answered: \(error.message)")
      }
      ledger.count(error.serverCode == "EPOCH" ? .refusedEpoch : .refusedClock)
      try await adopt(at, lost: false)
      return nil
    }
    if case .register = request { workers[at].registered = worker.epoch }
    return reply
  }

  mutating func call(_ name: String, _ arguments: [RedisArgument]) async throws -> RedisValue {
    try await command(["FCALL", .text("batchd_\(name)"), 1, "s"] + arguments + [.integer(now)])
  }

  /// - Parameter jumpIn: the epoch in which the worker found the clock elsewhere than it should be.
  mutating func adopt(_ at: Int, jumpIn: Int? = nil, lost: Bool) async throws {
    let seen = workers[at].epoch
    let expected = workers[at].expectedNow(at: monotonic)
    let jump = (jumpIn.map { "\($0)" } ?? "") + (expected.map { " \($0)" } ?? "")
    let reply = try await call("adopt", [.integer(ledger.storeEpoch), .text(jump)])
    guard let parts = reply.array, let epoch = parts[0].integer, let jumped = parts[2].integer,
      epoch >= ledger.storeEpoch
    else { throw Violation("adopt answers \(reply), the store has epoch \(ledger.storeEpoch)") }
    try await look()
    if lost { return }
    if jumpIn == nil, jumped <= seen, let expected, abs(expected - now) > 5_000 {
      // It jumped, and nobody has seen to that.
      ledger.count(.noticedJump)
      return try await adopt(at, jumpIn: epoch, lost: false)
    }
    ledger.storeEpoch = epoch
    workers[at].isConnected = true
    workers[at].clock = (now, monotonic)
    if epoch != seen {
      workers[at].epoch = epoch
      workers[at].adopted = (now, monotonic)
    }
  }

  // MARK: what is true

  /// Compares the reply with what was promised, and keeps what it promises.
  private mutating func note(
    _ request: Request, _ reply: RedisValue, _ at: Int, _ before: Picture
  ) throws -> String {
    switch request {
    case .intake: return reply.texts.joined(separator: " ")
    case .admit(let raws): return try noteAdmission(raws, reply.texts, before)
    case .claim(let stage, _, let most, _):
      return try noteClaim(World.stages[stage], most, reply, at, before)
    case .renew(let tokens, _):
      let answers = reply.array?[4].texts ?? []
      for (token, answer) in zip(tokens, answers) {
        try compare(
          token, answer, ["held", "cancelled"], before, isRenewal: true, isAlone: tokens.count == 1)
        if answer == "held" { ledger.prolonged[token.fence] = monotonic }
      }
      return answers.joined(separator: " ")
    case .act(let token, let act): return try noteAct(token, act, reply, before)
    case .archive(let runs):
      for run in runs.flatMap(Self.runs)
      where before.ends[run] != nil && picture.ends[run] == nil {
        ledger.timeline.archived.insert(run)
      }
      return reply.text ?? ""
    case .outbox: return (reply.array ?? []).map(Self.endedRun).joined(separator: "|")
    case .recover:
      recovering = workers[at].name
      return reply.text ?? ""
    case .tick, .gateTake, .gateConfirm: return reply.array?[0].text ?? ""
    case .leave, .register: return reply.text ?? ""
    }
  }

  /// `STREAM_ID/ID/RUN`, or `STREAM_ID/LINES/runs`, as batchd_archive wants them.
  private static func endedRun(_ entry: RedisValue) -> String {
    let fields = entry.array?[1].texts ?? []
    let run = fields[0] == "runs" ? "runs" : fields[3]
    return "\(entry.array?[0].text ?? "")/\(fields[1])/\(run)"
  }

  /// `ID/RUN` of each run that batchd_archive was told of in one entry.
  private static func runs(_ entry: [String]) -> [String] {
    guard entry[2] == "runs" else { return ["\(entry[1])/\(entry[2])"] }
    return entry[1].split(separator: "\n").map { line in
      line.split(separator: " ").prefix(2).joined(separator: "/")
    }
  }

  private mutating func noteAdmission(
    _ raws: [String], _ answers: [String], _ before: Picture
  ) throws -> String {
    for (raw, answer) in zip(raws, answers) where answer != "gone" {
      let entry = World.Entry(raw)
      let isKnown = ledger.timeline.runs[entry.id] != nil
      ledger.timeline.entries.remove(raw)
      switch answer {
      case "admitted":
        guard !isKnown || entry.isRerun else { throw Violation("\(entry.id) is admitted twice") }
        ledger.admitted(entry.id)
      case "duplicate":
        guard isKnown else { throw Violation("\(entry.id) is new and called a duplicate") }
      default:
        guard entry.isRerun, isKnown else { throw Violation("\(raw) is rejected") }
      }
    }
    return answers.joined(separator: " ")
  }

  private mutating func noteClaim(
    _ stage: String, _ most: Int, _ reply: RedisValue, _ at: Int, _ before: Picture
  ) throws -> String {
    let batches = reply.claimedBatches(stage)
    guard batches.count <= most else { throw Violation("\(batches.count) claimed, not \(most)") }
    for (token, done, failed) in batches {
      guard picture.holds(token), picture.batches[token.batch]?.worker == workers[at].name else {
        throw Violation("\(token) is given, and not in force")
      }
      if !before.holds(token) { try checkPause(token, before) }
      try ledger.checkItems(token.batch, stage: stage, done: done, failed: failed)
    }
    return batches.map(\.token.batch).joined(separator: " ")
  }

  /// Nothing new starts of what is paused.
  private func checkPause(_ token: Token, _ before: Picture) throws {
    let account = before.batches[token.batch]?.account ?? ""
    let reasons = ["all", "pipeline:w", "stage:w:\(token.stage)", "account:\(account)"]
    if let reason = before.members("paused").first(where: { reasons.contains(String($0)) }) {
      throw Violation("\(token.batch) is claimed while \(reason) is paused")
    }
  }

  private mutating func noteAct(
    _ token: Token, _ act: Move.Act, _ reply: RedisValue, _ before: Picture
  ) throws -> String {
    guard case .checkpoint(let item, let failed, let child) = act else {
      return try noteSettlement(token, act, reply, before)
    }
    let answer = reply.text ?? ""
    try compare(token, answer, ["held", "cancelled"], before)
    guard answer != "lost" else { return answer }
    ledger.checkpointed(token, item: "i\(item)", failed: failed)
    if answer == "held" { ledger.prolonged[token.fence] = monotonic }
    let name = "c-\(token.batch)"
    if child && answer == "held" && before.batches[name] == nil { ledger.admitted(name) }
    return answer
  }

  private mutating func noteSettlement(
    _ token: Token, _ act: Move.Act, _ reply: RedisValue, _ before: Picture
  ) throws -> String {
    let value = reply.array?.last ?? reply
    let next = value.goesOn
    let answer = next == nil ? value.text ?? "" : "next"
    let possible =
      switch act {
      case .finish: ["next", "queued", "ended"]
      case .fail: ["retrying", "ended"]
      case .snooze: ["snoozed", "ended"]
      default: ["handed_back", "ended"]
      }
    try compare(token, answer, possible, before)
    let isFirst = before.holds(token)
    if isFirst { ledger.timeline.answers[token] = answer }
    if let next {
      if isFirst { ledger.prolonged[token.fence] = monotonic }
      try ledger.checkItems(token.batch, stage: next.stage, done: next.done, failed: next.failed)
    }
    return answer
  }

  /// Under a lease in force one of the possible answers; otherwise "lost", or what was answered before, and no change.
  /// - Parameter isAlone: whether the call was about this token only.
  private func compare(
    _ token: Token, _ answer: String, _ possible: [String], _ before: Picture,
    isRenewal: Bool = false, isAlone: Bool = true
  ) throws {
    if isRenewal ? before.renews(token) : before.holds(token) {
      guard possible.contains(answer) else {
        throw Violation("\(token) is in force and answered \(answer)")
      }
      return
    }
    guard answer == "lost" || ledger.timeline.answers[token] == answer else {
      throw Violation("\(token) is not in force and answered \(answer)")
    }
    guard picture == before || !isAlone else {
      throw Violation("\(token) is not in force and changed something")
    }
  }
}

extension RedisValue {
  var texts: [String] { (array ?? []).compactMap(\.text) }

  /// What batchd_claim gave: of a plain batch a text, behind which its input stands.
  func claimedBatches(_ stage: String) -> [(token: Token, done: [String], failed: [String])] {
    (array ?? []).dropFirst(2).compactMap { batch in
      let words =
        batch.array.map { [$0[0], $0[1], $0[3]].compactMap(\.text) }
        ?? (batch.text ?? "").split(separator: " ").dropLast().map(String.init)
      guard words.count == 3, let run = Int(words[1]), let fence = Fence(words[2]) else {
        return nil
      }
      return (
        Token(batch: words[0], run: run, stage: stage, fence: fence),
        batch.array?[11].texts ?? [], batch.array?[12].texts ?? []
      )
    }
  }

  /// What batchd_finish answered when the lease goes on.
  var goesOn: (stage: String, done: [String], failed: [String])? {
    if let next = array, next.count == 5, let stage = next[1].text {
      return (stage, next[2].texts, next[3].texts)
    }
    let words = text?.split(separator: " ") ?? []
    return words.count == 2 && words[0] == "next" ? (String(words[1]), [], []) : nil
  }
}
