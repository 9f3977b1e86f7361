/// The accounts and jobs that a seed stands for. Documents are made when they are asked for; only
/// what listing needs is held.
public struct WorkizWorld: Sendable {
  /// What a job is listed by.
  public struct Job: Sendable, Hashable {
    /// How the service answers for a job that was deleted: both ways occur.
    public enum Deletion: String, Sendable { case noContent, notFound }

    public let uuid: String
    public let status: String
    /// Set when the job is deleted: it is in no listing.
    public let deletion: Deletion?
    /// Local seconds since 1970-01-01 00:00:00 in the account's zone.
    let startsAt: Int64
    let serial: Int

    var isOpen: Bool { status != "Done" && status != "Canceled" }
    /// `open`, `closed` or `deleted`.
    public var state: String { deletion != nil ? "deleted" : isOpen ? "open" : "closed" }
  }

  /// One account of the service.
  public struct Account: Sendable {
    public let name: String
    /// Made up: `sim-` and the name.
    public let token: String
    /// An IANA name.
    public let timezone: String
    /// Newest first, deleted ones included.
    public let jobs: [Job]
    let positions: [String: Int]

    func job(_ uuid: String) -> Job? { positions[uuid].map { jobs[$0] } }
  }

  /// In a fixed order; the last one is `empty` and has no jobs.
  public let accounts: [Account]
  public let seed: UInt64
  private let byToken: [String: Int]

  /// Makes the world of the given settings.
  /// - Throws: `SimulatorError` with code `.setting` when a setting is out of its range.
  public init(_ settings: WorkizSimulatorSettings) throws(SimulatorError) {
    try settings.validate()
    let today = WorkizTimes.day(settings.today)!
    seed = settings.seed
    var accounts = (0..<settings.accounts).map { index in
      let name = index < Self.names.count ? Self.names[index] : "account-\(index + 1)"
      var generator = SeededGenerator(seed: settings.seed, "account", name)
      let timezone = generator.pick(Self.timezones)
      let jobs = settings.jobs ?? generator.integer(20...60)
      return Self.account(name, timezone, jobs: jobs, deleted: 2, today: today, &generator)
    }
    var generator = SeededGenerator(seed: settings.seed, "account", "empty")
    accounts.append(
      Self.account(
        "empty", "America/New_York", jobs: 0, deleted: 0, today: today, &generator))
    self.accounts = accounts
    byToken = Dictionary(uniqueKeysWithValues: accounts.indices.map { (accounts[$0].token, $0) })
  }

  func account(token: String) -> Account? { byToken[token].map { accounts[$0] } }

  private static let names = [
    "acme", "bolt", "cedar", "delta", "ember", "falcon", "grove", "harbor", "iris", "juniper",
    "kestrel", "lumen", "maple", "nimbus", "orchid", "pine", "quartz", "river", "summit", "tundra",
  ]
  private static let timezones = [
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix",
    "America/Los_Angeles", "Europe/London", "Australia/Sydney",
  ]
  private static let statuses = [
    "Submitted", "Scheduled", "Scheduled", "In Progress", "Pending", "Done", "Done", "Canceled",
  ]

  private static func account(
    _ name: String, _ timezone: String, jobs: Int, deleted: Int, today: Int64,
    _ generator: inout SeededGenerator
  ) -> Account {
    var used = Set<String>()
    var made = (0..<jobs + deleted).map { index in
      var uuid = ""
      repeat { uuid = Self.uuid(&generator) } while !used.insert(uuid).inserted
      let minutes = generator.integer(-28...7) * 1_440 + generator.integer(28...72) * 15
      let deletion: Job.Deletion? =
        index < jobs ? nil : index.isMultiple(of: 2) ? .noContent : .notFound
      return Job(
        uuid: uuid, status: generator.pick(statuses), deletion: deletion,
        startsAt: today + Int64(minutes) * 60, serial: 1_000 + index)
    }
    made.sort { ($1.startsAt, $0.uuid) < ($0.startsAt, $1.uuid) }
    return Account(
      name: name, token: "sim-\(name)", timezone: timezone, jobs: made,
      positions: Dictionary(uniqueKeysWithValues: made.indices.map { (made[$0].uuid, $0) }))
  }

  private static func uuid(_ generator: inout SeededGenerator) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    return String((0..<6).map { _ in generator.pick(alphabet) })
  }
}
