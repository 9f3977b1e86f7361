import ArgumentParser

/// Tools for developing against batchd; no part of production.
@main
struct BatchdDev: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batchd-dev",
    abstract: "Simulators of the services that batchd works with, and its benchmark.",
    subcommands: [Simulate.self, BenchCommand.self, BenchWorkerCommand.self])
}

struct Simulate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate", abstract: "Serve a simulated service.",
    subcommands: [SimulateWorkiz.self])
}
