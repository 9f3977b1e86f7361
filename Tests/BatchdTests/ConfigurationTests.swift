import Foundation
import Pipeline
import Queue
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

      [pipelines.other]
      setup = { handler = "pass" }

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
    #expect(configuration.prefixes.names == ["{jobs}"])
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

  @Test func pipelinesOfOnesOwnAreRead() throws {
    let configuration = try Self.parse(
      """
      [gates.api]
      interval_ms = 250
      per_account = true

      [pipelines.thumbs]
      counts = "setup"
      setup = { handler = "pass" }

      [pipelines.thumbs.extraction]
      handler = "exec"
      command = ["bin/thumb", "--size", "64"]
      environment = { LANG = "C.UTF-8" }
      pass_environment = ["API_KEY"]
      gate = "api"
      feed = "item"
      output_bytes = 2048

      [pipelines.thumbs.persistence]
      retries = 5
      handler = "http"
      url = "http://127.0.0.1:8000/api/batch-processing/persistence"
      headers = { "X-Team" = "a" }
      secret_file = "secret"
      """)
    #expect(configuration.gates["api"]?.intervalMilliseconds == 250)
    let thumbs = try #require(configuration.pipelines["thumbs"])
    #expect(thumbs.countedStage == .setup)
    #expect(thumbs.stages.keys.sorted() == [.setup, .extraction, .persistence])
    let thumb = try #require(thumbs.stages[.extraction])
    #expect(thumb.command == ["/etc/batchd/bin/thumb", "--size", "64"])
    #expect(thumb.directory == "/etc/batchd")
    #expect(thumb.environment == ["LANG": "C.UTF-8"] && thumb.passEnvironment == ["API_KEY"])
    #expect(thumb.gate == "api" && thumb.feed == .item && thumb.slots == 4)
    #expect(thumb.outputBytes == 2_048 && thumb.retry.retries == 3)
    #expect(thumbs.stages[.persistence]?.secret == .file("/etc/batchd/secret"))
    #expect(thumbs.stages[.persistence]?.retry.retries == 5)
  }

  /// Three lines are a pipeline; whoever has his own and says nothing of Workiz has no idle stages of it.
  @Test func aPipelineOfOneStage() throws {
    let own = "[pipelines.hello.extraction]\nhandler = \"exec\"\ncommand = [\"cat\"]\n"
    let configuration = try Self.parse(own)
    #expect(configuration.pipelines.keys.sorted() == ["hello"])
    #expect(configuration.defaultPipeline == "hello")
    #expect(configuration.pipelines["hello"]?.stages[.extraction]?.command == ["cat"])
    #expect(configuration.pipelines["hello"]?.countedStage == .extraction)
    for more in ["[workiz]", "[pipelines.workiz]", "[accounts.acme]\ntoken_env = \"A\""] {
      let both = try Self.parse(own + more)
      #expect(both.pipelines.keys.sorted() == ["hello", "workiz"])
      #expect(both.defaultPipeline == "workiz")
    }
  }

  @Test(arguments: [
    "redis://h", "redis://10.0.0.1:6380/3", "redis://[::1]:6379", "rediss://r.example.com/",
    "redis+cluster://h", "rediss+cluster://h1:7000,10.0.0.2,[::1]:1/0",
    "redis+sentinel://h/main", "rediss+sentinel://h1:26379,10.0.0.2,[::1]:1/main/3",
    "unix:///run/redis/redis.sock", "unix:///run/my redis@1.sock?db=2",
  ])
  func everyFormOfURLIsAccepted(_ url: String) throws {
    let text = "prefix = \"{batchd}\"\nredis.url = \"\(url)\""
    #expect(try Self.parse(text).redis.url == url)
  }

  @Test(arguments: [
    "", "h", "http://h", "redis://", "redis://:6379", "redis://h:port", "redis://h/x",
    "redis://h?db=1", "redis://a b", "unix://run/redis.sock", "unix:///", "redis://u@h",
    "redis+cluster://", "redis+cluster://h,", "redis+cluster://h/1", "redis+cluster://h/main",
    "redis+cluster://h?db=0", "redis+sentinel://h", "redis+sentinel://h,/main",
    "redis+sentinel:///main",
    "redis+sentinel://h/main?sentinel_password=x",
  ])
  func everyOtherURLIsRefused(_ url: String) {
    let text = "prefix = \"{batchd}\"\nredis.url = \"\(url)\""
    #expect(throws: ConfigurationError.self) { try Self.parse(text) }
  }

  @Test func whatIsShownReadsBackAsTheSame() throws {
    let text = """
      prefix = "{jobs}"
      [redis]
      url = "rediss://cache"
      user = "a\\"b\\\\c\\u0001"
      password_env = "REDIS_PASSWORD"
      [store]
      url = "postgresql://batchd@db/results?sslmode=verify-full"
      password_file = "secrets/results"
      [worker]
      lease_ms = 60_000
      [limits]
      item_count = 77
      [gates."a.b"]
      per_account = true
      [pipelines.workiz]
      counts = "metadata"
      [pipelines.workiz.annotation]
      timeout_ms = 1234
      on_drain = "finish"
      [pipelines.workiz.validation]
      handler = "exec"
      command = ["sh", "-c", "echo \\\"$A\\\""]
      environment = { A = "x\\ty" }
      gate = "a.b"
      [pipelines.workiz.setup]
      handler = "http"
      url = "https://h/x?y=1"
      headers = { "X-A" = "1" }
      secret_env = "S"
      [accounts."acme.west"]
      token_file = "tokens/acme"
      [accounts.globex]
      token_credential = "globex"
      """
    let configuration = try Self.parse(text)
    #expect(configuration != Configuration())
    #expect(try Self.parse(configuration.text) == configuration)
  }

  /// As `batchd up` hands it to its workers.
  @Test func ownPipelinesAloneReadBackAlone() throws {
    let configuration = try Self.parse("[pipelines.own.setup]\nhandler = \"pass\"")
    #expect(configuration.pipelines.keys.sorted() == ["own"])
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
    // Of a secret's three keys the file may hold each only as none. What belongs to pipelines and gates of people's own
    // cannot stand there as a default.
    let known = Configuration.keyPaths.map { $0.joined(separator: ".") }.filter {
      !$0.contains("NAME")
    }
    #expect(known.count > 40)
    #expect(shown.filter { !$0.hasPrefix("pipelines.") } == Set(known))
  }

  /// The second half of the file, which is not the default but an example, read as if it were active.
  @Test func theExampleShowsEveryKeyOfPipelinesAndGates() throws {
    let text = try String(contentsOf: Self.example, encoding: .utf8)
    let start = try #require(text.range(of: "# [gates.")).lowerBound
    let end = try #require(text.range(of: "#[pipelines.workiz]")).lowerBound
    let example = text[start..<end].replacing(/(?m)^# ?/) { _ in "" }
      .split(separator: "\n").filter { $0.contains(/^(\[|[a-z_]+ =)/) }.joined(separator: "\n")
    #expect(try Self.parse(example).pipelines.count == 1)
    let shown = Set(example.matches(of: /(?m)^([a-z_]+) =/).map { String($0.1) })
    let known = Set(Configuration.keyPaths.filter { $0.contains("NAME") }.map { $0.last! })
    // One of the three is enough to see; serve is in the first half.
    let others: Set = ["secret_env", "secret_credential", "serve"]
    #expect(shown == known.subtracting(others))
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
