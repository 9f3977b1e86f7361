import TestSupport
import Testing

/// The simulation itself: what it finds can be repeated and read.
@Suite("Seeds and shrinking")
struct ShrinkingTests {
  @Test("the same seed gives the same trace", arguments: [1, 7, 42, 2_026] as [UInt64])
  func sameSeedSameTrace(seed: UInt64) async throws {
    let functions = try await FunctionServer()
    let first = try await History(seed: seed, on: functions.connection)
    let second = try await History(seed: seed, on: functions.connection)
    #expect(first.trace == second.trace)
    #expect(first.trace.count > History.length)
    let replayed = try await History(
      moves: first.moves, workers: first.workers, on: functions.connection)
    #expect(replayed.trace == first.trace)
  }

  @Test("what a broken function leads to shrinks to a few moves")
  func aBrokenFunctionIsFoundAndItsHistoryShrinks() async throws {
    var sources = try FunctionSources()
    let check = "b.place == c.leases and b.fence == fence"
    let text = try #require(sources.files["lifecycle.lua"])
    #expect(text.contains(check))
    sources.files["lifecycle.lua"] = text.replacing(check, with: "b.place == c.leases")
    let functions = try await FunctionServer(library: sources.library)
    for seed in 1...500 as ClosedRange<UInt64> {
      let history = try await History(seed: seed, on: functions.connection)
      guard history.violation != nil else { continue }
      let short = try await history.shrunk(on: functions.connection)
      print(
        "seed \(seed), from \(history.moves.count) moves to \(short.moves.count): \(short.story)")
      #expect(short.violation != nil)
      #expect(short.moves.count <= 10)
      return
    }
    Issue.record("500 seeds did not find a zombie that settles the lease of another")
  }
}
