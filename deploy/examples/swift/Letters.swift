import Pipeline
import Stores
import Worker

/// A stage written in Swift: counts the letters of each item.
struct Letters: StageHandler {
  func run(_ job: StageJob, _ context: StageContext) async throws -> JSON? {
    for item in job.items {
      // Kept at once: whoever goes on after a crash is handed only what is still to do.
      let count = item.id.count { $0.isLetter }
      let result: ItemResult = count > 0 ? .done(.integer(Int64(count))) : .failed("no letters")
      try await context.checkpoint([item.id: result])
    }
    return nil
  }
}

@main
enum Program {
  /// Arguments: the URL of Redis, the SQLite file.
  static func main() async throws {
    let letters = PipelineDefinition(
      name: "letters", stages: [.init(stage: .extraction, handler: Letters(), slots: 16)])
    try await Worker.run(
      [letters], redis: CommandLine.arguments[1],
      store: try await SQLiteStore(path: CommandLine.arguments[2]))
  }
}
