internal import ArgumentParser
internal import Queue

/// `batchd rejected`: the entries that could not become batches.
struct RejectedCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rejected",
    abstract: "Show, re-enter or drop the entries that were rejected.",
    discussion: """
      An entry of batchd:enqueue that cannot become a batch is kept with its reason. Position 0 is \
      the newest; positions move on when another entry is rejected.

        batchd rejected
        batchd rejected show 0
        batchd rejected reenter 0
        batchd rejected drop all
      """,
    subcommands: [List.self, Show.self, Reenter.self, Drop.self], defaultSubcommand: List.self)

  private static let whichHelp = ArgumentHelp(
    "The entry's position (0 is the newest), or all.", valueName: "n|all")

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "One line per entry.")

    @Option(help: "At most so many, the newest.")
    var limit = 50

    @OptionGroup var common: CommonOptions

    func validate() throws {
      guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
    }

    func run() async throws {
      let entries = try await common.connect().rejected(limit: limit)
      try common.answer(Self.lines(entries).joined(separator: "\n"), entries)
    }

    static func lines(_ entries: [RejectedEntry]) -> [String] {
      guard !entries.isEmpty else { return ["nothing is rejected"] }
      let rows = entries.map {
        [String($0.position), $0.at, "\($0.bytes)", $0.reason].map { StyledLine($0) }
      }
      let columns: [TextTable.Column] = [
        .right("N"), .left("REJECTED"), .right("BYTES"), .left("WHY"),
      ]
      return TextTable.lines(columns, rows).map { $0.text(width: nil, hasColor: false) }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show",
      abstract: "One entry with its reason; the entry alone goes to standard output.")

    @Argument(help: ArgumentHelp("The entry's position; 0 is the newest.", valueName: "n"))
    var position: Int

    @OptionGroup var common: CommonOptions

    func validate() throws {
      guard position >= 0 else { throw ValidationError("a position is 0 or more") }
    }

    func run() async throws {
      let entry = try await common.connect().rejected(at: position)
      if !common.json {
        let kept = entry.isWhole ? "" : " (only the beginning was kept)"
        Terminal.complain("\(entry.at), \(entry.bytes) bytes\(kept): \(entry.reason)")
      }
      try common.answer(entry.entry, entry)
    }
  }

  struct Reenter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "reenter", abstract: "Push to batchd:enqueue again.")

    @Argument(help: whichHelp)
    var which: String

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let count = try await common.connect().reenter(which)
      try common.answer(
        "re-entered \(Wording.count(count, "entry", "entries"))", ["reentered": count])
    }
  }

  struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "drop", abstract: "Drop for good.")

    @Argument(help: whichHelp)
    var which: String

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let count = try await common.connect().drop(which)
      try common.answer("dropped \(Wording.count(count, "entry", "entries"))", ["dropped": count])
    }
  }
}
