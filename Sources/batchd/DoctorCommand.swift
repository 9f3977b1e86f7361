internal import ArgumentParser
internal import Foundation
internal import Queue
internal import Redis
internal import Stores

/// `batchd doctor [--repair]`
struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look for what is wrong with Redis and with the records in it, and mend records.",
    discussion: """
      Looks at every key under the prefix, in small steps; workers may run meanwhile. Workers mend \
      by themselves what hinders them, within seconds or minutes; this finds the rest, and shows all.

        batchd doctor
        batchd doctor --repair
        batchd doctor --json | jq '.findings[].problem'

      Exit status: 0 when nothing is wrong (any more), 1 when something is.
      """)

  @Flag(help: "Apply the remedy of each broken record; otherwise it is only shown.")
  var repair = false

  @OptionGroup var common: CommonOptions

  /// Something is wrong.
  private static let unhealthy = ExitCode(1)

  func run() async throws {
    let configuration = try common.configuration()
    let control = try await common.connect(configuration)
    var report = Control.Inspection()
    var store: String?
    var around: [Finding] = []
    do {
      store = try await storeIdentity(configuration)
    } catch let error as StoreError {
      around = [
        Finding(
          "store", error.message,
          remedy: "mend it; until then workers wait, and what has ended stays in Redis")
      ]
    }
    around += try await control.checkRedis(store: store)
    // Without functions nobody has worked here, and nobody can look.
    if repair || !around.contains(where: { $0.key == "functions" }) {
      do {
        report = try await control.inspect(repair: repair)
      } catch let error as RedisError where error.serverCode == "MISCONF" && !around.isEmpty {
        // It cannot write to its disk, as was found, and runs no function that might.
      }
    }
    report.findings = around + report.findings
    try common.answer(Self.lines(report, repair: repair).joined(separator: "\n"), report)
    guard report.findings.allSatisfy(\.isRepaired) else { throw Self.unhealthy }
  }

  /// Only what a configuration file names is this host's store, and only if it exists: looking makes none. Whether workers
  /// can use what this user may not write nobody knows.
  private func storeIdentity(_ configuration: Configuration) async throws -> String? {
    let settings = configuration.store
    guard common.redis == nil,
      settings.url != nil || FileManager.default.isWritableFile(atPath: settings.path)
    else { return nil }
    let store = try await settings.open(makesTables: false)
    let identity = try await store.identity()
    try await store.close()
    return identity
  }

  static func lines(_ report: Control.Inspection, repair: Bool) -> [String] {
    var lines: [String] = []
    for finding in report.findings {
      let line = StyledLine("\(finding.key) \(finding.problem)")
      let remedy = StyledLine("  \(finding.isRepaired ? "done" : "remedy"): \(finding.remedy)")
      lines += [line, remedy].map { $0.text(width: nil, hasColor: false) }
    }
    let wrong = Wording.count(report.findings.count, "finding", "findings")
    lines.append("\(Wording.count(report.keys, "key", "keys")) looked at: \(wrong)")
    if report.aside > 0 {
      lines.append(
        "\(Wording.count(report.aside, "key", "keys")) of the wrong type set aside as …:aside:…, deleted 30 days later"
      )
    }
    if !repair, report.findings.contains(where: { $0.key.contains(":") && !$0.isRepaired }) {
      lines.append("batchd doctor --repair applies the remedies of broken records")
    }
    return lines
  }
}
