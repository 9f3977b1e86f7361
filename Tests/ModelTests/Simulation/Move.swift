/// One step of a simulated history. A list of moves is a history by itself: each names what it acts on, and one that the
/// state does not allow does nothing, so that any part of a list may be left out.
struct Move: Hashable, CustomStringConvertible {
  enum Deed: Hashable {
    /// A client's LPUSH.
    case enqueue(batch: Int, rerun: Bool, delayed: Bool)
    case admit(Int)
    /// BLMOVE into the intake: Redis serves a blocked call even when its host has vanished.
    case fetch(Int, stage: Int)
    case claim(Int, stage: Int, suspects: Bool, most: Int)
    case act(Int, batch: String, Act)
    /// A token that was once given is used again, by a process that was thought dead.
    case zombie(token: Int, Act)
    case beat(Int)
    case tick(Int)
    /// Ended runs go to SQL; the worker may die before it says so.
    case outbox(Int, dies: Bool)
    /// The call whose reply was lost is sent again.
    case again(Int)
    case gate(Int, batch: String)
    case cancel(Int)
    case cancelAll
    case retry(Int, fromFirst: Bool)
    case pause(String)
    case resume(String)
    case crash(Int)
    case start(Int)
    case leave(Int)
    /// SIGSTOP and SIGCONT: no beat meanwhile.
    case freeze(Int)
    case thaw(Int)
    /// Time passes, with or without the beats of the workers that live.
    case pass(seconds: Double, silent: Bool)
    /// Redis's clock is set; no time passes.
    case step(hours: Int)
    case backup
    /// Redis has what it had at an earlier moment. Restarted, its connections break; otherwise somebody restored a backup
    /// into the running server.
    case rollback(Int, restarted: Bool)
  }

  /// What a worker does with a lease.
  enum Act: Hashable {
    case checkpoint(item: Int, failed: Bool, child: Bool)
    case finish(goesOn: Bool)
    case fail(forGood: Bool)
    case snooze, handBack, renew
  }

  let deed: Deed
  /// The call is carried out, and the worker does not hear it.
  var isReplyLost = false

  init(_ deed: Deed, isReplyLost: Bool = false) {
    self.deed = deed
    self.isReplyLost = isReplyLost
  }

  var description: String { text + (isReplyLost ? ", reply lost" : "") }

  private var text: String {
    switch deed {
    case .enqueue(let batch, let rerun, let delayed):
      "enqueue b\(batch)\(rerun ? " as a rerun" : "")\(delayed ? " for later" : "")"
    case .admit(let worker): "w\(worker + 1) admits"
    case .fetch(let worker, let stage): "BLMOVE of w\(worker + 1) in stage \(stage)"
    case .claim(let worker, let stage, let suspects, let most):
      "w\(worker + 1) claims \(suspects ? "a suspect" : "up to \(most)") in stage \(stage)"
    case .act(let worker, let batch, let act): "w\(worker + 1): \(act) of \(batch)"
    case .zombie(let token, let act): "a zombie: \(act) with token \(token)"
    case .beat(let worker): "w\(worker + 1) beats"
    case .tick(let worker): "w\(worker + 1) ticks"
    case .outbox(let worker, let dies):
      "w\(worker + 1) writes ended runs to SQL\(dies ? " and dies" : "")"
    case .again(let worker): "w\(worker + 1) repeats its call"
    case .gate(let worker, let batch): "w\(worker + 1) asks the gate for \(batch)"
    case .cancel(let batch): "cancel b\(batch)"
    case .cancelAll: "cancel the operation"
    case .retry(let batch, let fromFirst):
      "retry b\(batch)\(fromFirst ? " from the first stage" : "")"
    case .pause(let what): "pause \(what)"
    case .resume(let what): "resume \(what)"
    case .crash(let worker): "kill -9 w\(worker + 1)"
    case .start(let worker): "start w\(worker + 1)"
    case .leave(let worker): "w\(worker + 1) leaves in order"
    case .freeze(let worker): "SIGSTOP w\(worker + 1)"
    case .thaw(let worker): "SIGCONT w\(worker + 1)"
    case .pass(let seconds, let silent): "\(seconds) s pass\(silent ? " without a beat" : "")"
    case .step(let hours): "Redis's clock steps by \(hours) h"
    case .backup: "backup"
    case .rollback(let back, let restarted):
      "Redis goes back to the backup \(back) before the last\(restarted ? ", restarted" : "")"
    }
  }
}

extension Move.Act: CustomStringConvertible {
  var description: String {
    switch self {
    case .checkpoint(let item, let failed, let child):
      "checkpoint item \(item)\(failed ? " failed" : "")\(child ? " and a child" : "")"
    case .finish(let goesOn): "finish\(goesOn ? ", going on," : "")"
    case .fail(let forGood): "fail\(forGood ? " for good" : "")"
    case .snooze: "snooze"
    case .handBack: "hand back"
    case .renew: "renew"
    }
  }
}
