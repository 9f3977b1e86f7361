import Testing

@Suite("Every order of admit, claim, crash, cancel, retry, pause and lane release")
struct ExplorationTests {
  /// The budgets bound the disturbances of one history (crashes, cancels, failures, pauses, epochs, lost
  /// replies ...), which bounds every list and counter. Each known flaw shows with one or two of them; one
  /// more multiplies the states tenfold.
  @Test("nothing is lost, stuck or doubled", arguments: [(true, UInt8(3)), (false, 2)])
  func nothingIsLost(allInLane: Bool, budget: UInt8) async {
    let exploration = await Exploration.explore(
      from: ReferenceModel(budget: budget, allInLane: allInLane))
    print(
      "explored \(exploration.stateCount) states, \(exploration.edgeCount) edges,",
      allInLane ? "one lane" : "one lane and a batch without account")
    #expect(exploration.finding == nil)
    #expect(exploration.stateCount > 100_000)
  }

  @Test("each built-in flaw is found", arguments: ModelFlaw.allCases)
  func flawIsFound(flaw: ModelFlaw) async {
    let exploration = await Exploration.explore(from: ReferenceModel(budget: 2, flaw: flaw))
    #expect(exploration.finding != nil)
    print("\(flaw), \(exploration.stateCount) states: \(exploration.finding ?? "not found")")
  }
}
