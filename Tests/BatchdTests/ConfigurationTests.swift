import Foundation
import Pipeline
import Testing
import Worker

@testable import batchd

struct ConfigurationTests {
  private static func parse(_ text: String) throws -> Configuration {
    try Configuration(parsing: text, file: "/etc/batchd/config.toml")
  }

  @Test func anEmptyFileIsTheDefaults() throws {
    #expect(try Self.parse("") == Configuration())
  }

  @Test func defaultsAreThoseOfTheWorker() {
    let ours = Configuration().worker
    let theirs = WorkerConfiguration(name: "", host: "", version: "", pipelines: [])
    #expect(ours.leaseMilliseconds == theirs.leaseMilliseconds)
    #expect(ours.beatMilliseconds == theirs.beatMilliseconds)
    #expect(ours.idleBeatMilliseconds == theirs.idleBeatMilliseconds)
    #expect(ours.drainMilliseconds == theirs.drainMilliseconds)
    #expect(ours.maxCrashes == theirs.maxCrashes)
    #expect(ours.fetchMilliseconds == theirs.fetchMilliseconds)
    #expect(ours.gatePatienceMilliseconds == theirs.gatePatienceMilliseconds)
    #expect(ours.gateMarginMilliseconds == theirs.gateMarginMilliseconds)
  }

  @Test func everyKindOfValueIsRead() throws {
    let configuration = try Self.parse(
      """
      prefix = "{jobs}"
      redis = { url = "rediss://cache:6380/2", user = "batchd", password_credential = "redis" }
      store.path = "data/results.sqlite"

      [retry]
      retries = 5

      [pipelines.workiz]
      serve = false
      extraction = { slots = 1_024, on_drain = "finish" }

      [pipelines.workiz.setup]
      retries = 0

      [workiz]
      offset_unit = "pages"

      [accounts."acme.west"]
      token_file = 'tokens/acme'
      """)
    #expect(configuration.prefix == "{jobs}")
    #expect(configuration.redis.url == "rediss://cache:6380/2")
    #expect(configuration.redis.user == "batchd")
    #expect(configuration.redis.password == .credential("redis"))
    #expect(configuration.store.path == "/etc/batchd/data/results.sqlite")
    #expect(configuration.workiz.offsetUnit == .pages)
    #expect(configuration.accounts == ["acme.west": .file("/etc/batchd/tokens/acme")])
    let workiz = try #require(configuration.pipelines["workiz"])
    #expect(!workiz.serve)
    #expect(workiz.stages[.extraction]?.slots == 1_024)
    #expect(workiz.stages[.extraction]?.onDrain == .finish)
    #expect(workiz.stages.mapValues(\.retry.retries)[.setup] == 0)
    #expect(workiz.stages.filter { $0.key != .setup }.allSatisfy { $0.value.retry.retries == 5 })
  }

  @Test(arguments: [
    "redis://h", "redis://10.0.0.1:6380/3", "redis://[::1]:6379", "rediss://r.example.com/",
    "redis+sentinel://h/main", "rediss+sentinel://h1:26379,10.0.0.2,[::1]:1/main/3",
    "unix:///run/redis/redis.sock", "unix:///run/my redis@1.sock?db=2",
  ])
  func everyFormOfURLIsAccepted(_ url: String) throws {
    #expect(try Self.parse("redis.url = \"\(url)\"").redis.url == url)
  }

  @Test(arguments: [
    "", "h", "http://h", "redis://", "redis://:6379", "redis://h:port", "redis://h/x",
    "redis://h?db=1", "redis://a b", "unix://run/redis.sock", "unix:///", "redis://u@h",
    "redis+sentinel://h", "redis+sentinel://h,/main", "redis+sentinel:///main",
    "redis+sentinel://h/main?sentinel_password=x",
  ])
  func everyOtherURLIsRefused(_ url: String) {
    #expect(throws: ConfigurationError.self) { try Self.parse("redis.url = \"\(url)\"") }
  }

  @Test func whatIsShownReadsBackAsTheSame() throws {
    let text = """
      prefix = "{jobs}"
      [redis]
      url = "rediss://cache"
      user = "a\\"b\\\\c\\u0001"
      password_env = "REDIS_PASSWORD"
      [worker]
      lease_ms = 60_000
      [limits]
      item_count = 77
      [pipelines.workiz.annotation]
      timeout_ms = 1234
      on_drain = "finish"
      [accounts."acme.west"]
      token_file = "tokens/acme"
      [accounts.globex]
      token_credential = "globex"
      """
    let configuration = try Self.parse(text)
    #expect(configuration != Configuration())
    #expect(try Self.parse(configuration.text) == configuration)
  }

  private static let example = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../config.example.toml").standardizedFileURL

  /// The example with its settings active: the "#" is gone where a setting follows at once.
  private static func activeExample() throws -> String {
    let text = try String(contentsOf: example, encoding: .utf8)
    return text.replacing(/(?m)^#([a-z\[])/) { $0.1 }
  }

  @Test func theExampleIsTheDefaults() throws {
    #expect(try Configuration(file: Self.example.path) == Configuration())
    #expect(try Self.parse(Self.activeExample()) == Configuration())
  }

  @Test func theExampleShowsEveryKey() throws {
    let lines = try Self.activeExample().split(separator: "\n")
    var table = ""
    var shown: Set<String> = []
    for line in lines {
      if let header = line.wholeMatch(of: /\[(.+)\]/) {
        table = "\(header.1)."
      } else if let pair = line.prefixMatch(of: /([a-z_]+)\s=/) {
        shown.insert(table + String(pair.1))
      }
    }
    // One stage stands for the six; of a secret's three keys the file may hold each only as none.
    let stages = Stage.allCases.map { "pipelines.workiz.\($0.rawValue)." }
    let known = Configuration.keyPaths.map { $0.joined(separator: ".") }.filter { path in
      !stages.contains { path.hasPrefix($0) && $0 != "pipelines.workiz.extraction." }
    }
    #expect(known.count > 40)
    #expect(shown == Set(known))
  }

  @Test func theAccountsOfTheExampleAreRight() throws {
    let text = try String(contentsOf: Self.example, encoding: .utf8)
    let start = try #require(text.range(of: "# [accounts.")).lowerBound
    let accounts = text[start...].replacing(/(?m)^# ?/) { _ in "" }
    #expect(
      try Self.parse(String(accounts)).accounts == [
        "acme": .file("/etc/batchd/tokens/acme"), "globex": .credential("globex"),
        "initech": .environment("INITECH_TOKEN"),
      ])
  }

  @Test func aFileThatIsNotThereIsNamed() {
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(file: "/nowhere/config.toml")
    }
    #expect(error?.code == .unreadable)
    #expect(
      error?.message.hasPrefix("/nowhere/config.toml: No such file or directory; ") == true)
  }
}
