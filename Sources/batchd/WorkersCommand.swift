internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd workers [NAME]`
struct WorkersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workers",
    abstract: "Show who works, on what, and how it went; or one worker and what it holds.",
    discussion: """
      alive: heard within half a minute. silent: not heard for longer; the others take its work \
      over. stopped, lost: ended within the last hour, in order or without a word. What a worker \
      counted is since its start. Times are by Redis's clock.

        batchd workers
        batchd workers 3d1219c7c4c5-1
        batchd workers --json | jq -r '.[] | select(.state != "alive") | .name'
      """)

  @Argument(help: "Only this worker, with the batches that it holds.", completion: Names.workers)
  var name: String?

  @OptionGroup var common: CommonOptions

  /// One worker as JSON shows it.
  private struct Detail: Encodable {
    let worker: WorkerStatus
    /// At most 100, those whose lease ends first.
    let holds: [Control.HeldBatch]
  }

  func run() async throws {
    try await common.answer(try common.configuration()) { try await found($0) }
  }

  private func found(_ control: Control) async throws -> CommonOptions.Found {
    let (workers, now) = try await control.workers()
    guard let name else {
      return ({ Terminal().text(WorkersRendering.lines(workers, now: now)) }, workers)
    }
    guard let worker = workers.first(where: { $0.name == name }) else {
      let known = workers.prefix(10).map(\.name).joined(separator: ", ")
      throw CommandError(
        .data,
        "no worker \(name) was heard within the last hour"
          + (known.isEmpty ? "; there is none at all" : "; batchd workers shows them: \(known)"))
    }
    let holds = try await control.held(by: name)
    return (
      { Terminal().text(WorkersRendering.lines(worker, holds, now: now)) },
      Detail(worker: worker, holds: holds)
    )
  }
}
