import Redis

/// What a worker makes of an answer.
extension Simulation {
  mutating func hear(_ request: Request, _ reply: RedisValue, _ at: Int) throws {
    switch request {
    case .claim(let stage, _, _, _):
      for (token, _, _) in reply.claimedBatches(World.stages[stage]) {
        workers[at].tokens[token.batch] = token
        tokens.append(token)
      }
    case .renew(let tokens, _):
      for (token, answer) in zip(tokens, reply.array?[4].texts ?? []) where answer != "held" {
        drop(token, at)
      }
      workers[at].clock = (now, monotonic)
    case .act(let token, _):
      let value = reply.array?.last ?? reply
      if let next = value.goesOn {
        workers[at].tokens[token.batch]?.stage = next.stage
        if let token = workers[at].tokens[token.batch] { tokens.append(token) }
      } else if value.text != "held" {
        drop(token, at)
      }
    case .tick: workers[at].clock = (now, monotonic)
    case .gateTake(_, let account):
      guard let parts = reply.array, let moment = parts[2].integer,
        let generation = parts[3].integer, hasKnownClock(at)
      else { return }
      if parts[0].text == "granted" { try pass(account) }
      if parts[0].text == "reserved" { workers[at].reservations[account] = (moment, generation) }
    case .gateConfirm(_, let account, _, _):
      let state = hasKnownClock(at) ? reply.array?[0].text : "void"
      if state == "granted" { try pass(account) }
      if state != "early" { workers[at].reservations[account] = nil }
    case .intake, .recover, .outbox, .leave, .register, .admit, .archive: break
    }
  }

  /// Whether the worker has known the clock for an interval, so that two permissions' distance tells it something.
  func hasKnownClock(_ at: Int) -> Bool {
    monotonic - workers[at].adopted.monotonic >= World.gateInterval + World.gateMargin
  }

  private mutating func drop(_ token: Token, _ at: Int) {
    if workers[at].tokens[token.batch] == token { workers[at].tokens[token.batch] = nil }
  }

  /// A request goes to the account's service.
  private mutating func pass(_ account: String) throws {
    ledger.count(.gatedRequest)
    if let last = ledger.lastRequest[account], monotonic - last < World.gateInterval {
      throw Violation("two requests of \(account) within \(monotonic - last) ms")
    }
    ledger.lastRequest[account] = monotonic
  }
}
