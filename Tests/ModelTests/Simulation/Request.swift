import Pipeline
import Redis

/// One call of a worker, as it would be sent again when its reply is lost.
enum Request: Hashable {
  case intake, tick, recover, outbox, leave
  case register(boot: String)
  case admit([String])
  case claim(stage: Int, suspects: Bool, most: Int, id: String)
  case renew([Token], boot: String)
  case act(Token, Move.Act)
  /// STREAM_ID ID RUN of each.
  case archive([[String]])
  case gateTake(Token, account: String)
  case gateConfirm(Token, account: String, at: Int, generation: Int)

  /// The function's name and its arguments after the epoch.
  func call(by worker: SimulatedWorker) -> (String, [RedisArgument]) {
    let name = RedisArgument.text(worker.name)
    switch self {
    case .intake: return ("intake", [name, 10, 1000])
    case .tick:
      return (
        "tick", [.integer(worker.adopted.redis + World.lease), "", .integer(World.maxCrashes)]
      )
    case .recover: return ("recover", [name, 0, 100, .integer(World.maxCrashes)])
    case .outbox: return ("outbox", [name, 10])
    case .leave: return ("leave", [name])
    case .register(let boot): return ("register", Self.registration(name, .text(boot)))
    case .admit(let raws):
      return ("admit", [name, .integer(raws.count)] + raws.flatMap { World.Entry($0).arguments })
    case .claim(let stage, let suspects, let most, let id):
      return (
        "claim",
        [
          name, .text(id), "w", .text(World.stages[stage]), suspects ? "suspects" : "queue",
          .integer(most), .integer(World.lease), "short",
        ]
      )
    case .renew(let tokens, let boot):
      let leases: [RedisArgument] = tokens.flatMap {
        [.text($0.batch), .text($0.fence.description)]
      }
      return (
        "renew",
        [name, .text(boot), .integer(World.lease), .integer(tokens.count), .integer(tokens.count)]
          + leases + [0, 0]
      )
    case .act(let token, let act): return act.call(token)
    case .archive(let runs):
      return (
        "archive",
        [86_400_000, 172_800_000, .integer(runs.count)] + runs.joined().map { .text($0) }
      )
    case .gateTake(let token, let account):
      return ("gate_take", [.text(account)] + Self.grid + [2_000] + token.holder)
    case .gateConfirm(let token, let account, let at, let generation):
      return (
        "gate_confirm",
        [.text(account), .integer(at), .integer(generation)] + Self.grid + token.holder
      )
    }
  }

  private static let grid: [RedisArgument] = [
    .integer(World.gateInterval), .integer(World.gateMargin),
  ]

  private static func registration(
    _ name: RedisArgument, _ boot: RedisArgument
  ) -> [RedisArgument] {
    let lists = World.stages.map { "w:\($0)" }.joined(separator: " ")
    return [
      name, boot, "host", 1, "version", "store", 8, .text(lists), 1, "w",
      .text(World.stages.joined(separator: ",")), .text(World.counted), 2, "quiet_ms",
      .integer(World.quiet), "failed_retention_ms", 172_800_000,
    ]
  }
}

extension Move.Act {
  fileprivate func call(_ token: Token) -> (String, [RedisArgument]) {
    switch self {
    case .checkpoint(let item, let failed, let child):
      let children: [RedisArgument] =
        child
        ? [1, .text("c-\(token.batch)"), "op", "w", "", "", 0, .text("child")] : [0]
      let kind: RedisArgument = failed ? "failed" : "done"
      return (
        "checkpoint",
        token.job + [.integer(World.lease), 1, "cursor", 1, .text("i\(item)"), kind, "x"] + children
      )
    case .finish(let goesOn):
      return ("finish", [.integer(World.lease), 1] + token.job + [goesOn ? 1 : 0, 0, "", "short"])
    case .fail(let forGood): return ("fail", token.job + [forGood ? "" : 30_000, "error"])
    case .snooze: return ("snooze", token.job + [120_000, "reason"])
    case .handBack: return ("hand_back", [1] + token.job)
    case .renew: return ("renew", [])
    }
  }
}

extension Token {
  /// ID RUN STAGE FENCE.
  fileprivate var job: [RedisArgument] {
    [.text(batch), .integer(run), .text(stage), .text(fence.description)]
  }

  /// ID FENCE.
  fileprivate var holder: [RedisArgument] { [.text(batch), .text(fence.description)] }
}
