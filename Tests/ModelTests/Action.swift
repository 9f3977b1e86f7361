/// One step of the world: a verb, or something that befalls it.
enum Action: Hashable, CustomStringConvertible {
  case admit(Int, later: Bool)
  case fetch(Int, stage: Int)
  case claim(Int, stage: UInt8, from: ModelPlace, most: Int)
  case checkpoint(Int, Int)
  case renew(Int, Int)
  case finish(Int, Int, goOn: Bool)
  /// The reply is lost, or the worker stalls before it reads it.
  case finishUnheard(Int, Int, goOn: Bool)
  /// The worker repeats a settlement whose reply it did not get.
  case hearAgain(Int, Int)
  /// The next renewal tells the worker that its lease is lost.
  case hearLost(Int, Int)
  case fail(Int, Int, forGood: Bool)
  case snooze(Int, Int)
  case handBack(Int, Int)
  case expire(Int)
  case due(Int)
  case cancel(Int)
  case again(Int, fromFirst: Bool)
  case pauseStage(UInt8)
  case resumeStage(UInt8)
  case pauseAccount
  case resumeAccount
  case crash(Int)
  /// Tick takes the name of a silent worker off the list and sweeps its intakes.
  case bury(Int)
  /// A later sweep of the intakes of a buried worker.
  case sweep(Int)
  case restart(Int)
  case adopt

  var description: String {
    switch self {
    case .admit(let id, let later): "admit b\(id)\(later ? " for later" : "")"
    case .fetch(let worker, let stage): "fetch by w\(worker + 1) in stage \(stage)"
    case .claim(let worker, let stage, let place, let most):
      "claim by w\(worker + 1) in stage \(stage), up to \(most) from \(place)"
    case .checkpoint(let worker, let id): "checkpoint b\(id) by w\(worker + 1)"
    case .renew(let worker, let id): "renew b\(id) by w\(worker + 1)"
    case .finish(let worker, let id, let goOn):
      "finish b\(id) by w\(worker + 1)\(goOn ? ", going on" : "")"
    case .finishUnheard(let worker, let id, let goOn):
      "finish b\(id) by w\(worker + 1)\(goOn ? ", going on" : ""), reply lost"
    case .hearAgain(let worker, let id): "finish b\(id) by w\(worker + 1), repeated"
    case .hearLost(let worker, let id): "w\(worker + 1) hears that b\(id) is lost"
    case .fail(let worker, let id, let forGood):
      "fail b\(id) by w\(worker + 1)\(forGood ? " for good" : "")"
    case .snooze(let worker, let id): "snooze b\(id) by w\(worker + 1)"
    case .handBack(let worker, let id): "hand back b\(id) by w\(worker + 1)"
    case .expire(let id): "the lease of b\(id) expires"
    case .due(let id): "b\(id) is due"
    case .cancel(let id): "cancel b\(id)"
    case .again(let id, let fromFirst): "\(fromFirst ? "rerun" : "retry") b\(id)"
    case .pauseStage(let stage): "pause stage \(stage)"
    case .resumeStage(let stage): "resume stage \(stage)"
    case .pauseAccount: "pause account"
    case .resumeAccount: "resume account"
    case .crash(let worker): "kill -9 w\(worker + 1)"
    case .bury(let worker): "tick buries w\(worker + 1)"
    case .sweep(let worker): "tick sweeps w\(worker + 1)"
    case .restart(let worker): "restart w\(worker + 1)"
    case .adopt: "a new epoch"
    }
  }
}

/// An action that is possible in a state.
struct Choice {
  var action: Action
  /// Whether the machinery does it by itself; nothing may depend on more than these to go on.
  var isSystem = true
  /// Whether it takes one from the budget of disturbances.
  var isDisturbance = false
}
