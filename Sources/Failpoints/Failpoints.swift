#if FAILPOINTS
  internal import Glibc
  internal import Synchronization

  /// Faults on purpose, in debug builds only: what a test asks for happens at each point of `FailpointPlan` when the
  /// process passes it for the first time.
  ///
  /// A point is a name with a moment: a call to Redis (`claim.before`, `BLMOVE.after`) or a write to the store
  /// (`upsert.within`: done, but not committed).
  public enum Failpoints {
    public enum Moment: String, Sendable { case before, within, after }

    private static let plan = FailpointPlan.ofEnvironment

    /// Whether a test asked for anything.
    public static let areArmed = plan != nil

    /// Passes a point: ends or stops the process when that is the plan.
    public static func pass(_ name: String, _ moment: Moment) {
      guard let plan, plan.isProcessFault, plan.isDue("\(name).\(moment)") else { return }
      switch plan.action {
      case .kill: raise(SIGKILL)
      case .stop: raise(SIGSTOP)
      case .note, .drop, .refuse: break
      }
    }

    /// The error with which a call to Redis is refused instead of being sent; nil when it may go out.
    public static func refusal(of name: String) -> String? {
      guard let plan, case .refuse(let milliseconds, let text) = plan.action else { return nil }
      return plan.isUnderWay("\(name).before", milliseconds) ? text : nil
    }

    /// Whether the reply that has just come is to be lost, with its connection. What is asked again in the same words,
    /// but for the time, is compared: the trace then holds `NAME.repeat same`, or both answers.
    public static func losesReply(to name: String, _ question: String, _ answer: String) -> Bool {
      guard let plan, case .drop = plan.action else { return false }
      plan.compare(name, question, answer)
      guard plan.isDue("\(name).after") else { return false }
      plan.remember(question, answer)
      return true
    }
  }
#endif
