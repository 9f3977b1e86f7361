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
    try await common.answer(configuration, hasHeading: false) { control in
      let snapshot = try await control.snapshot()
      let lines = {
        StatusRendering.lines(snapshot, address: address, prefix: control.keys.prefix)
      }
      return ({ Terminal().text(lines()) }, snapshot)
    }
  }
}
