internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd rejected`: the entries that could not become batches.
struct RejectedCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rejected",
    abstract: "Show, re-enter or drop the entries that were rejected.",
    discussion: """
      An entry of batchd:enqueue that cannot become a batch is kept with its reason. Position 0 is \
      the newest; positions move on when another entry is rejected, the time of an entry stays.

        batchd rejected
        batchd rejected show 0
        batchd rejected reenter 0
        batchd rejected drop 2026-11-22T21:38:44.123Z
        batchd rejected drop all

      To mend one and try again:

        batchd rejected show 0 > entry.json
        batchd rejected reenter 0 --edited entry.json
      """,
    subcommands: [List.self, Show.self, Reenter.self, Drop.self], defaultSubcommand: List.self)

  private static let whichHelp = ArgumentHelp(
    "The entry's position (0 is the newest), its time as the list shows it, or all.",
    valueName: "n|time|all")

  /// - Parameter which: a position or a time.
  private static func entry(_ which: String, _ control: Control) async throws -> RejectedEntry {
    if let position = Int(which), position >= 0 { return try await control.rejected(at: position) }
    guard Timestamp(rfc3339: which) != nil else {
      throw ValidationError(
        "“\(which)” is neither a position nor a time like 2026-01-31T12:00:00.000Z")
    }
    return try await control.rejected(atTime: which)
  }

  /// What the functions take: a position by now, or `all`.
  private static func place(_ which: String, _ control: Control) async throws -> String {
    guard which.contains("T") else { return which }
    return "\(try await control.position(of: try await entry(which, control)))"
  }

  /// `all` means all of every prefix, a position or a time one of one prefix.
  private static func eachMeant(
    _ which: String, _ common: CommonOptions,
    _ act: (Control, String) async throws -> CommonOptions.Found
  ) async throws {
    let configuration = try common.configuration()
    let meant = which == "all" ? nil : [try common.onlyName(configuration)]
    try await common.answer(configuration, for: meant) { control in
      try await act(control, try await place(which, control))
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "One line per entry.",
      discussion: """
          batchd rejected list --limit 10
        """)

    @Option(help: "At most so many, the newest.")
    var limit = 50

    @OptionGroup var common: CommonOptions

    func validate() throws {
      guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
    }

    func run() async throws {
      try await common.answer(try common.configuration()) { control in
        let entries = try await control.rejected(limit: limit)
        return ({ Self.lines(entries).joined(separator: "\n") }, entries)
      }
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
      abstract: "One entry with its reason; the entry alone goes to standard output.",
      discussion: """
        Into a file or a pipe go the very bytes, as they came. In JSON an entry that is not UTF-8 \
        has its bytes as entry_base64, too.

          batchd rejected show 0
          batchd rejected show 0 > entry.json
        """)

    @Argument(
      help: ArgumentHelp(
        "The entry's position (0 is the newest), or its time as the list shows it.",
        valueName: "n|time"))
    var which: String

    @OptionGroup var common: CommonOptions

    func run() async throws {
      let configuration = try common.configuration()
      let prefix = try common.onlyName(configuration)
      let entry = try await RejectedCommand.entry(
        which, common.connect(configuration, to: prefix))
      guard !common.json else { return try common.answer("", entry) }
      let kept = entry.isWhole ? "" : " (only the beginning was kept)"
      Terminal.complain("\(entry.at), \(entry.bytes) bytes\(kept): \(entry.reason)")
      guard Terminal().isLive else { return try await Terminal.write(entry.raw) }
      for line in entry.entry.split(separator: "\n", omittingEmptySubsequences: false) {
        print(StyledLine(String(line)).plainText)
      }
    }
  }

  struct Reenter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "reenter", abstract: "Push to batchd:enqueue again.",
      discussion: """
          batchd rejected reenter all
          batchd rejected reenter 0 --edited entry.json
        """)

    @Argument(help: whichHelp)
    var which: String

    @Option(
      help: ArgumentHelp(
        "The entry as it should be, checked as enqueue does; - is standard input.",
        valueName: "file"), completion: .file())
    var edited: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
      guard edited != nil, which == "all" else { return }
      throw ValidationError("--edited is for one entry: name its position or time")
    }

    func run() async throws {
      if let edited { return try await reenter(as: edited) }
      try await RejectedCommand.eachMeant(which, common) { control, place in
        let count = try await control.reenter(place)
        return ({ "re-entered \(Wording.count(count, "entry", "entries"))" }, ["reentered": count])
      }
    }

    /// Pushes first and drops then: a crash between the two leaves the old entry, which is harmless.
    private func reenter(as file: String) async throws {
      let configuration = try common.configuration()
      let prefix = try common.onlyName(configuration)
      let control = try await common.connect(configuration, to: prefix)
      let entry = try await RejectedCommand.entry(which, control)
      let bytes = try TextInput.bytes(of: file)
      let most = configuration.limits.envelopeBytes
      guard bytes.count <= most else {
        throw CommandError(
          .data, "\(file) has \(bytes.count) bytes, the limit is \(most) (limits.envelope_bytes)")
      }
      let envelope: Envelope
      do {
        envelope = try Envelope(parsing: bytes, limits: configuration.limits)
      } catch let error as EnvelopeError {
        throw CommandError(.data, "\(file): \(error); nothing was re-entered")
      }
      _ = try await Admission(of: [envelope], control, strict: true)
      try await control.push([bytes])
      _ = try await control.drop("\(try await control.position(of: entry))")
      try common.answer("re-entered 1 entry", ["reentered": 1])
    }
  }

  struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "drop", abstract: "Drop for good.",
      discussion: """
          batchd rejected drop 0
          batchd rejected drop all
        """)

    @Argument(help: whichHelp)
    var which: String

    @OptionGroup var common: CommonOptions

    func run() async throws {
      try await RejectedCommand.eachMeant(which, common) { control, place in
        let count = try await control.drop(place)
        return ({ "dropped \(Wording.count(count, "entry", "entries"))" }, ["dropped": count])
      }
    }
  }
}
