internal import ArgumentParser
internal import Queue
internal import Redis

/// `batchd status`
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show what waits, what runs, what is wrong, and who works.",
    discussion: """
      Ages and countdowns are by Redis's clock.

        batchd status
        batchd status --json | jq '.workers[].name'
        watch -n 2 batchd status
      """)

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let configuration = try common.configuration()
    let address = try configuration.redis.client().displayName
    let snapshot = try await common.connect(configuration).snapshot()
    guard !common.json else { return print(try CommonOptions.json(snapshot)) }
    let terminal = Terminal()
    for line in StatusRendering.lines(snapshot, address: address, prefix: configuration.prefix) {
      print(line.text(width: terminal.size?.columns, hasColor: terminal.hasColor))
    }
  }
}
