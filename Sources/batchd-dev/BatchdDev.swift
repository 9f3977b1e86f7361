import ArgumentParser

/// Tools for developing against batchd; no part of production.
@main
struct BatchdDev: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batchd-dev", abstract: "Simulators of the services that batchd works with.",
    subcommands: [Simulate.self])
}

struct Simulate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a simulated service.", subcommands: [SimulateWorkiz.self])
}
