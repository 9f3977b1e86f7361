import Foundation
import Redis
import Testing

/// The model and the functions of the library, side by side: the model is only worth what it has in common with them.
@Suite("Random walks over the real functions")
struct WalkTests {
  static let walks = 200
  static let steps = 30

  @Test("Redis holds after each step what the model does")
  func realFunctionsAgree() async throws {
    let functions = try await FunctionServer()
    let connection = functions.connection
    let seed = SeededGenerator.chosenSeed()
    print("\(Self.walks) walks from BATCHD_SEED=\(seed)")
    var failed = 0
    for walk in 0..<Self.walks where failed < 3 {
      let problem = try await Self.walk(seed: seed + UInt64(walk), on: connection)
      if let problem {
        failed += 1
        Issue.record("\(problem)")
      }
    }
    await connection.close()
  }

  /// One walk; returns what differed, with the steps before.
  static func walk(seed: UInt64, on connection: RedisConnection) async throws -> String? {
    var random = SeededGenerator(seed: seed)
    var model = ReferenceModel(budget: 12, allInLane: Bool.random(using: &random))
    var real = try await RealProtocol(on: connection)
    var trace: [String] = []
    for _ in 0..<steps {
      guard let choice = model.choices().randomElement(using: &random) else { break }
      trace.append("\(choice.action)")
      let answer = try await real.perform(choice.action, before: model)
      if choice.isDisturbance { model.budget -= 1 }
      model.performAsRedis(choice.action)
      let found = try await RealState.differences(from: model, on: connection)
      let problems = (answer.map { [$0] } ?? []) + found
      if !problems.isEmpty {
        return "seed \(seed): \(problems.joined(separator: "; ")), after:\n  "
          + trace.joined(separator: "\n  ")
      }
    }
    return nil
  }
}

extension ReferenceModel {
  /// One tick of Redis does more than the one thing that the model lets happen: it sweeps after every buried
  /// worker.
  fileprivate mutating func performAsRedis(_ action: Action) {
    switch action {
    case .bury(let worker): workers[worker].life = .buried
    case .sweep: break
    default: _ = perform(action)
    }
    switch action {
    case .expire, .due, .bury, .sweep:
      for worker in 0..<2 where workers[worker].life == .buried { sweepAll(worker) }
    default: break
    }
  }
}

/// SplitMix64: a walk can be repeated by its seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// BATCHD_SEED, or one at random.
  static func chosenSeed() -> UInt64 {
    ProcessInfo.processInfo.environment["BATCHD_SEED"].flatMap { UInt64($0) }
      ?? UInt64.random(in: 0...UInt64(UInt32.max))
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
