/// The status of a batch as `batchd:batch:ID` shows it; `absent` before its admission.
enum ModelStatus: UInt8, CaseIterable {
  case absent, pending, processing, retrying, completed, failed, cancelled

  var isLiving: Bool { self == .pending || self == .processing || self == .retrying }
  var isEnded: Bool { self == .completed || self == .failed || self == .cancelled }
}

/// The kind of list or zset that a batch's `place` names; queue and suspects are those of its stage.
enum ModelPlace: UInt8 {
  case none, queue, suspects, lane, leases, delayed
}

/// What a verb answers to a worker.
enum ModelAnswer: UInt8 {
  case lost, held, next, queued, ended, retrying, snoozed, handedBack
}

/// A worker's memory of a lease: what it was told by claim or by a finish that went on.
struct ModelToken: Hashable {
  /// 0 for none.
  var fence: UInt8 = 0
  var stage: UInt8 = 0
}

/// The hash `batchd:batch:ID`, as far as the protocol decides by it.
struct ModelBatch: Hashable {
  var status = ModelStatus.absent
  var place = ModelPlace.none
  var stage: UInt8 = 0
  var fence: UInt8 = 0
  /// The worker of the last claim; recovery after a restart goes by it.
  var owner: UInt8 = 0
  var crashes: UInt8 = 0
  var isAlone = false
  var isCancelling = false
  /// The settlement that a repeated call gets again; `lost` for none.
  var settledAnswer = ModelAnswer.lost
  var settled = ModelToken()

  func hash(into hasher: inout Hasher) { hasher.combine(packed) }

  /// The batch in one word: hashing field by field dominated the exploration.
  private var packed: UInt64 {
    var word = UInt64(status.rawValue)
    word = word << 4 | UInt64(place.rawValue)
    word = word << 2 | UInt64(stage)
    word = word << 8 | UInt64(fence)
    word = word << 1 | UInt64(owner)
    word = word << 2 | UInt64(crashes)
    word = word << 1 | (isAlone ? 1 : 0)
    word = word << 1 | (isCancelling ? 1 : 0)
    word = word << 4 | UInt64(settledAnswer.rawValue)
    word = word << 8 | UInt64(settled.fence)
    return word << 2 | UInt64(settled.stage)
  }
}

/// A worker: its process (memory) and its name on record.
struct ModelWorker: Hashable {
  enum Life: UInt8 {
    case alive
    /// Its process is gone; its name, leases and intakes are still there.
    case dead
    /// Tick took its name off the list.
    case buried
  }

  var life = Life.alive
  /// By batch (index id - 1).
  var tokens = [ModelToken](repeating: ModelToken(), count: 3)
  /// By stage.
  var intakes = [IDList](repeating: IDList(), count: 2)

  func hash(into hasher: inout Hasher) { hasher.combine(packed) }

  /// One word: it also orders the workers, which are interchangeable.
  var packed: UInt64 {
    var word = UInt64(life.rawValue)
    for token in tokens { word = word << 6 | UInt64(token.fence << 1 | token.stage) }
    for intake in intakes { word = word << 20 | UInt64(intake.bits) }
    return word
  }
}

/// The batch counts of one progress key, changed by the verbs step by step as the Lua functions do.
struct ModelCounts: Hashable {
  private var nibbles: UInt32 = 0
  var total: UInt8 = 0

  subscript(status: ModelStatus) -> Int {
    get { Int(nibbles >> shift(status) & 15) }
    set { nibbles = nibbles & ~(15 << shift(status)) | UInt32(newValue & 15) << shift(status) }
  }

  private func shift(_ status: ModelStatus) -> UInt32 { UInt32(status.rawValue) * 4 }
}

/// Faults that can be built into the model, to show that the exploration finds them. Each is a mistake that
/// a function of the library could make, or once made.
enum ModelFlaw: UInt8, CaseIterable {
  /// release hands the lane to whatever id it pops.
  case laneWithoutCheck
  /// claim runs a popped id without comparing its place.
  case claimWithoutPlace
  /// claim meets an id twice in one call (cancelled and retried: the list holds it twice) and leases both.
  case claimTwice
  /// The intake of a buried worker is swept once; a blocked fetch of a vanished host fills it later.
  case sweepOnce
  /// A lease of an older epoch is re-queued although the batch was being cancelled.
  case requeueForgetsCancel
  /// A suspect that was snoozed, handed back or parked returns among the others.
  case suspectMingles
  /// A settlement goes by the place alone: a zombie settles the lease of its successor.
  case settleWithoutFence
  /// A cancel ends the batch and leaves the counts.
  case cancelUncounted
  /// claim does not raise the fence counter.
  case fenceRepeated
  /// An ended batch keeps its lane.
  case laneKept
}
