import Dispatch

/// Breadth-first over all states that can be reached, so that the first violation has a shortest trace.
struct Exploration {
  private(set) var edgeCount = 0
  /// The first thing found wrong, with the steps that lead to it.
  private(set) var finding: String?
  var stateCount: Int { parents.count }

  private var indices: [ReferenceModel: Int32] = [:]
  private var parents: [Int32] = []
  private var actions: [Action?] = []
  private var quiescent: [Int32] = []
  /// Edges of the machinery itself, for the question whether every state can come to rest by it alone.
  private var sources: [Int32] = []
  private var targets: [Int32] = []

  /// One exploration at a time, and none on the threads of Swift's tasks: a minute of computing there would
  /// starve every test that waits for something.
  private static let thread = DispatchQueue(label: "exploration", qos: .utility)

  static func explore(from start: ReferenceModel) async -> Exploration {
    await withCheckedContinuation { done in
      thread.async { done.resume(returning: Exploration(from: start)) }
    }
  }

  /// Explores everything behind `start`; stops at the first violation.
  private init(from start: ReferenceModel) {
    var level = [(state: start, index: add(start, parent: -1, action: nil))]
    while !level.isEmpty && finding == nil {
      var nextLevel: [(state: ReferenceModel, index: Int32)] = []
      for (state, index) in level where finding == nil {
        expand(state, index, into: &nextLevel)
      }
      level = nextLevel
    }
    if finding == nil { findStuck() }
    indices = [:]
  }

  private mutating func expand(
    _ state: ReferenceModel, _ from: Int32,
    into nextLevel: inout [(state: ReferenceModel, index: Int32)]
  ) {
    if let violation = state.violation() {
      finding = violation + trace(to: from)
      return
    }
    if state.isQuiescent { quiescent.append(from) }
    for choice in state.choices() {
      let (next, fault) = state.after(choice)
      edgeCount += 1
      if let fault {
        finding = fault + trace(to: from, and: choice.action)
        return
      }
      let to: Int32
      if let known = indices[next] {
        to = known
      } else {
        to = add(next, parent: from, action: choice.action)
        nextLevel.append((next, to))
      }
      if choice.isSystem && to != from {
        sources.append(from)
        targets.append(to)
      }
    }
  }

  private mutating func add(_ state: ReferenceModel, parent: Int32, action: Action?) -> Int32 {
    let index = Int32(parents.count)
    indices[state] = index
    parents.append(parent)
    actions.append(action)
    return index
  }

  /// Walks the machinery's edges backwards from the states at rest; what is not met is stuck.
  private mutating func findStuck() {
    var starts = [Int32](repeating: 0, count: stateCount + 1)
    for target in targets { starts[Int(target) + 1] += 1 }
    for index in 0..<stateCount { starts[index + 1] += starts[index] }
    var fill = starts
    var incoming = [Int32](repeating: 0, count: sources.count)
    for edge in sources.indices {
      let target = Int(targets[edge])
      incoming[Int(fill[target])] = sources[edge]
      fill[target] += 1
    }
    var comesToRest = [Bool](repeating: false, count: stateCount)
    var stack = quiescent
    for index in quiescent { comesToRest[Int(index)] = true }
    while let index = stack.popLast() {
      for edge in starts[Int(index)]..<starts[Int(index) + 1] {
        let source = incoming[Int(edge)]
        guard !comesToRest[Int(source)] else { continue }
        comesToRest[Int(source)] = true
        stack.append(source)
      }
    }
    if let stuck = comesToRest.firstIndex(of: false) {
      finding = "a batch is stuck: no way to its end" + trace(to: Int32(stuck))
    }
  }

  /// The steps from the start, one a line. Workers are named as in the canonical form: w1 and w2 may change
  /// places between two lines.
  private func trace(to index: Int32, and last: Action? = nil) -> String {
    var steps = last.map { [$0.description] } ?? []
    var at = index
    while at > 0, let action = actions[Int(at)] {
      steps.append(action.description)
      at = parents[Int(at)]
    }
    return ", after:\n  " + steps.reversed().joined(separator: "\n  ")
  }
}
