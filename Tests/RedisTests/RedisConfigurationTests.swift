import Redis
import Testing

@Suite struct RedisConfigurationTests {
  @Test(arguments: [
    ("redis://localhost", "redis://localhost:6379"),
    ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
    ("rediss://u:p%40ss@h:1/0", "rediss://u@h:1"),
    ("redis://:p@ss:w/o?rd@h", "redis://h:6379"),
    ("redis://[::1]:6380", "redis://[::1]:6380"),
    ("redis://h?db=4", "redis://h:6379/4"),
    ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ("redis+unix://u:p@/run/r%20s.sock", "unix://u@/run/r s.sock"),
    ("redis+sentinel://h/main", "redis+sentinel://h:26379/main"),
    (
      "rediss+sentinel://u:p@h1:1,[::1],h3/a%2Fb/2",
      "rediss+sentinel://u@h1:1,[::1]:26379,h3:26379/a/b/2"
    ),
    ("redis+cluster://h", "redis+cluster://h:6379"),
    (
      "rediss+cluster://u:p/@h1:1,[::1],h3/0?db=0",
      "rediss+cluster://u@h1:1,[::1]:6379,h3:6379"
    ),
    (
      "redis+sentinel://h/main?sentinel_username=g&sentinel_password=p@s",
      "redis+sentinel://h:26379/main"
    ),
  ])
  func readsURLs(url: String, name: String) throws {
    #expect(try RedisConfiguration(url: url).displayName == name)
  }

  @Test func decodesUserAndPassword() throws {
    let plain = try RedisConfiguration(url: "redis://us%3Aer:p%40s%25s@h")
    #expect(plain.user == "us:er" && plain.password == "p@s%s")
    let raw = try RedisConfiguration(url: "redis://:p@s/s:w?rd@h:1/2")
    #expect(raw.user == nil && raw.password == "p@s/s:w?rd" && raw.database == 2)
    let guided = try RedisConfiguration(
      url: "redis+sentinel://us:pw@h/main/3?sentinel_username=gu&sentinel_password=p%26s@x")
    #expect(guided.user == "us" && guided.password == "pw" && guided.database == 3)
    #expect(guided.sentinelUser == "gu" && guided.sentinelPassword == "p&s@x")
  }

  @Test(arguments: [
    "localhost:6379", "http://u:secret@h", "redis://u:secret@", "redis://u:secret@h:99999",
    "redis://u:secret@h/x", "redis://u:secret@h?tls=1", "redis://u:secret%zz@h", "unix://x.sock",
    "redis://u:secret@h:12:x", "secret", "redis+sentinel://u:secret@h1,h2",
    "redis+sentinel://u:secret@h1,,h2/main", "redis+sentinel://u:secret@h/main/x",
    "redis+cluster://u:secret@", "redis+cluster://u:secret@h1,,h2", "redis+cluster://u:secret@h/1",
    "redis+cluster://u:secret@h?db=1", "redis+cluster://u:secret@h/main",
    "redis+cluster://h?sentinel_password=secret", "redis+sentinel://h/main?password=secret",
    "redis://h?sentinel_password=secret",
  ])
  func refusesOtherURLs(url: String) {
    let error = #expect(throws: RedisError.self) { try RedisConfiguration(url: url) }
    #expect(error?.code == .configuration)
    #expect(error?.message.contains("secret") == false)
  }

  @Test func printingHidesThePassword() throws {
    struct Owner { let redis: RedisConfiguration }
    let owner = Owner(redis: try RedisConfiguration(url: "redis://u:secret@h"))
    var dumped = ""
    dump(owner, to: &dumped)
    for text in ["\(owner)", "\(owner.redis)", String(reflecting: owner), dumped] {
      #expect(!text.contains("secret"))
    }
  }
}
