import Foundation
import TestSupport
import Testing

/// Who would notice if a check were not there? For each check of the functions the library without it must fail a test.
@Suite("Mutation", .serialized)
struct MutationTests {
  private static let environment = ProcessInfo.processInfo.environment
  /// How many are tried in the short form: of the epoch's guards, for each must be missed at once.
  private static let few = 3
  private static let sideBySide = 2

  @Test("a test fails for each check that is taken out")
  func eachCheckIsNeeded() async throws {
    let sources = try FunctionSources()
    let all = Mutant.all(of: sources)
    #expect(all.count > 100)
    let fault = try await Self.killer(of: sources)
    try #require(fault == nil, "the unchanged functions do not pass")
    let base = SeededGenerator.chosenSeed()
    let mutants = Self.choose(from: all, seed: base)
    print("\(mutants.count) of \(all.count) mutants, BATCHD_SEED=\(base)")
    let verdicts = try await Self.judge(mutants)
    let survivors = verdicts.filter { $0.killer == nil }.map(\.mutant.description).sorted()
    print("killed \(mutants.count - survivors.count) of \(mutants.count)")
    #expect(survivors == [])
  }

  /// All in the long form; those whose text holds a line of BATCHD_MUTANTS, when that is set.
  private static func choose(from all: [Mutant], seed: UInt64) -> [Mutant] {
    if let wanted = environment["BATCHD_MUTANTS"] {
      let lines = wanted.split(separator: "\n")
      return all.filter { mutant in lines.contains { mutant.description.contains($0) } }
    }
    if environment["BATCHD_LONG"] != nil { return all }
    var random = SeededGenerator(seed: seed)
    let guards = all.filter { $0.check.hasPrefix("guard(") }
    return Array(guards.shuffled(using: &random).prefix(few))
  }

  private struct Verdict {
    let mutant: Mutant
    let killer: String?
  }

  private static func judge(_ mutants: [Mutant]) async throws -> [Verdict] {
    try await withThrowingTaskGroup(of: Verdict.self) { group in
      var waiting = mutants[...]
      func next() {
        guard let mutant = waiting.popFirst() else { return }
        group.addTask {
          let start = ContinuousClock.now
          let killer = try await killer(of: mutant.sources)
          let seconds = (ContinuousClock.now - start).components.seconds
          print("\(mutant) … \(killer ?? "SURVIVES"), \(seconds) s")
          return Verdict(mutant: mutant, killer: killer)
        }
      }
      for _ in 0..<sideBySide { next() }
      var verdicts: [Verdict] = []
      while let verdict = try await group.next() {
        verdicts.append(verdict)
        next()
      }
      return verdicts
    }
  }

  /// Who finds fault with these functions, the cheapest judges first.
  /// - Throws: when a judge cannot work, which says nothing of the functions.
  private static func killer(of sources: FunctionSources) async throws -> String? {
    let functions: FunctionServer
    do {
      // A server of its own: a mutant may never return.
      functions = try await FunctionServer(library: sources.library)
      for seed in 1...3 as ClosedRange<UInt64> {
        if try await WalkTests.walk(seed: seed, on: functions.connection) != nil {
          return "walk, seed \(seed)"
        }
      }
      if let killer = try await functions.simulate(seeds: 1...10) { return killer }
    } catch {
      return "\("\(error)".prefix(100))"
    }
    // The sweeps through all hostile keys and records last: they take most of the time.
    for tests in ["'^QueueTests\\.' --skip '^QueueTests\\.Hostile'", "'^QueueTests\\.Hostile'"] {
      if let killer = try await functions.failingQueueTest(sources, tests) { return killer }
    }
    do {
      return try await functions.simulate(seeds: 11...40)
    } catch {
      return "\("\(error)".prefix(100))"
    }
  }
}

extension FunctionServer {
  fileprivate func simulate(seeds: ClosedRange<UInt64>) async throws -> String? {
    for seed in seeds {
      let history = try await History(seed: seed, on: connection)
      if let violation = history.violation {
        return "simulation, seed \(seed): \(violation.prefix(100))"
      }
    }
    return nil
  }

  /// Runs some of this program's QueueTests with other functions in a process of its own.
  fileprivate func failingQueueTest(_ sources: FunctionSources, _ tests: String) async throws
    -> String?
  {
    let folder = try TestFolder()
    for (file, text) in sources.files {
      try text.write(toFile: "\(folder.path)/\(file)", atomically: false, encoding: .utf8)
    }
    let pipe = try TestFolder()
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    // Until the first failure: many a mutant never returns after it.
    let words = try await server.shell(
      """
      mkfifo \(pipe.path)/verdict
      env -u BATCHD_LONG BATCHD_FUNCTIONS=\(folder.path) \(program) --testing-library swift-testing \\
        --filter \(tests) > \(pipe.path)/verdict 2>&1 &
      timeout 200 grep -m 1 -E 'recorded an issue|Test run with .* passed' < \(pipe.path)/verdict
      kill -9 $! || true
      """)
    if words.contains("Test run with") { return nil }
    return words.isEmpty ? "QueueTests end or answer no more" : "QueueTests: \(words.prefix(200))"
  }
}
