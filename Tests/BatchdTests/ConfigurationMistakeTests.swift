import Testing

@testable import batchd

/// One wrong file, and the one line that a person gets to read about it.
struct Mistake: Sendable, CustomTestStringConvertible {
  let text: String
  let message: String

  init(_ text: String, _ message: String) {
    self.text = text
    self.message = message
  }

  var testDescription: String { message }
}

/// Every way to get the file wrong is an error that names file, line and key, and what is allowed.
struct ConfigurationMistakeTests {
  @Test(arguments: shapes + values + secrets + rules)
  func message(of mistake: Mistake) {
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(parsing: mistake.text, file: "c.toml")
    }
    #expect(error?.code == .invalid)
    #expect(error?.message == "c.toml:" + mistake.message)
  }

  private static let names = "a table's name is letters, digits, _ and -, or in quotes"

  /// Keys and tables that do not exist or are of the wrong kind.
  static let shapes = [
    Mistake(
      "prefix = ", "1: not TOML: Error while parsing key-value pair: encountered end-of-file"),
    Mistake(
      "[redis]\nuser = \"\"\"\n[store]\n",
      "3: not TOML: Error while parsing string: encountered end-of-file"),
    Mistake(
      "a = 1\na = 2\n",
      "2: not TOML: Error while parsing key-value pair: cannot redefine existing integer 'a'"),
    Mistake("prefix = \"a\"\n\0[x]", "2: not TOML: a NUL character"),
    Mistake("prefix = \"a\"\n[$x]", "2: not TOML: \(names)"),
    Mistake("[[\u{10}x]]", "1: not TOML: \(names)"),
    Mistake("[\nx]", "1: not TOML: \(names)"),
    Mistake("\u{FEFF}[\n", "1: not TOML: \(names)"),
    Mistake("a = 1\u{2028}[=", "1: not TOML: \(names)"),
    Mistake("prefix = \"\"\"\n[$]\n\\\"\"\"\"\" # \"\n [ [x]", "4: not TOML: \(names)"),
    Mistake("a = [[1],\n[2]]\nb = [\n{}, }]", "4: not TOML: \"}\" without a value before it"),
    Mistake("a = [ \u{a0}}]", "1: not TOML: \"}\" without a value before it"),
    Mistake("[x]\na = 2026-01-02 5\n", "2: not TOML: a date, and half a time"),
    Mistake("a = [ # [\n}]", "2: not TOML: \"}\" without a value before it"),
    Mistake(
      "prefixes = \"a\"", "1: prefixes: must be an array of strings, not a string"),
    Mistake(
      "prefixes = [\"a\", \"b c\"]",
      "1: prefixes: must be 1 to 128 characters of A-Z a-z 0-9 . _ -, in braces on Redis Cluster"),
    Mistake("prefixes = [\"a\", \"b\", \"a\"]", "1: prefixes: must not hold a prefix twice"),
    Mistake(
      "prefix = \"a\"\nprefixes = [\"a\", \"b\"]",
      "2: prefixes: is one too many: prefix is given too; use one of them"),
    Mistake(
      "prefixes = [\"{a}\", \"b\"]\n[redis]\nurl = \"redis+cluster://h\"",
      "1: prefixes: prefix (b) must be in braces on a Redis Cluster, which redis.url names: write \"{b}\", or its keys would be on several nodes and no function could use them"
    ),
    Mistake("\n\nprefx = \"a\"", "3: prefx: unknown key; did you mean prefix?"),
    Mistake(
      "[worker]\n# one\nlease-ms = 1", "3: worker.lease-ms: unknown key; did you mean lease_ms?"),
    Mistake("worker.lease = { s = 9 }", "1: worker.lease: unknown key; did you mean lease_ms?"),
    Mistake(
      "[store]\nengine = \"x\"",
      "2: store.engine: unknown key; known here: path, url, password_file, password_env, password_credential"
    ),
    Mistake("lease_ms = 1", "1: lease_ms: unknown key; lease_ms belongs under [worker]"),
    Mistake(
      "[redis]\nprefix = \"a\"",
      "2: redis.prefix: unknown key; prefix belongs at the top, before the first [table]"),
    Mistake("[reddis]\n", "1: reddis: unknown key; did you mean redis?"),
    Mistake("redis = 3", "1: redis: must be a table, [redis], not an integer"),
    Mistake("[[store]]\npath = \"a\"", "1: store: must be a table, [store], not an array"),
    Mistake(
      "[pipelines.screenshots]\nserve = true",
      "1: pipelines.screenshots: no stage; give it at least one: [pipelines.screenshots.extraction]"
    ),
    Mistake(
      "[pipelines.\"a:b\".setup]\nhandler = \"pass\"",
      "1: pipelines.a:b: a pipeline's name must be 1 to 128 characters of A-Z a-z 0-9 . _ -"),
    Mistake(
      "[pipelines.a.setup]\nslots = 1",
      "1: pipelines.a.setup: no handler; give it handler = \"exec\" or \"http\" or \"pass\" or \"workiz\""
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"shell\"",
      "2: pipelines.a.setup.handler: must be \"exec\" or \"http\" or \"pass\" or \"workiz\", not \"shell\""
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h\"\ncommand = [\"ls\"]",
      "4: pipelines.a.setup.command: is for handler = \"exec\", this stage has \"http\""),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"pass\"\nfeed = \"item\"",
      "3: pipelines.a.setup.feed: is for handler = \"exec\" or \"http\", this stage has \"pass\""),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"",
      "1: pipelines.a.setup: no command; give it one: command = [\"PROGRAM\", \"ARGUMENT\"]"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"",
      "1: pipelines.a.setup: no url; give it one: url = \"http://HOST/PATH\""),
    Mistake(
      "[pipelines.workiz.extration]\nslots = 3",
      "1: pipelines.workiz.extration: unknown key; did you mean extraction?"),
    Mistake(
      "[pipelines.workiz]\nsetup = true",
      "2: pipelines.workiz.setup: must be a table, [pipelines.workiz.setup], not a boolean"),
    Mistake(
      "[pipelines.workiz.setup]\nslot = 3",
      "2: pipelines.workiz.setup.slot: unknown key; did you mean slots?"),
  ]

  /// Values of the wrong type, or out of range.
  static let values = [
    Mistake("prefix = 3", "1: prefix: must be a string, not an integer"),
    Mistake(
      "prefix = \"a b\"",
      "1: prefix: must be 1 to 128 characters of A-Z a-z 0-9 . _ -, in braces on Redis Cluster"),
    Mistake(
      "instance = \"a:b\"", "1: instance: must be 1 to 128 characters of A-Z a-z 0-9 . _ -"),
    Mistake(
      "default_pipeline = \"x\"",
      "1: default_pipeline: must be a known pipeline; known: workiz"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = \"ls -l\"",
      "3: pipelines.a.setup.command: must be an array of strings: the program and each of its arguments, as no shell takes it apart; with one: [\"sh\", \"-c\", \"…\"]"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\", 1]",
      "3: pipelines.a.setup.command: must be an array of strings, not of an integer"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\nenvironment = { A = 1 }",
      "4: pipelines.a.setup.environment: A must be a string, not an integer"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\nenvironment = { A-B = \"1\" }",
      "4: pipelines.a.setup.environment: A-B is not the name of a variable (A-Z a-z 0-9 _)"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\npass_environment = [\"hunter=2\"]",
      "4: pipelines.a.setup.pass_environment: must hold names of variables (A-Z a-z 0-9 _), not values"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"ftp://h\"",
      "3: pipelines.a.setup.url: must be http://HOST/PATH or https://HOST/PATH, without a user"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h\"\nheaders = { \"A B\" = \"\" }",
      "4: pipelines.a.setup.headers: A B is not the name of a header"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\nenvironment = { BATCHD_RUN = \"1\" }",
      "4: pipelines.a.setup.environment: BATCHD_RUN is batchd's own: choose another name"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\npass_environment = [\"BATCHD_X\"]",
      "4: pipelines.a.setup.pass_environment: BATCHD_X is batchd's own: every command is given it as it is for its batch"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h:99999/\"",
      "3: pipelines.a.setup.url: must have a port of 1 to 65535"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h:8x/\"",
      "3: pipelines.a.setup.url: must be http://HOST/PATH or https://HOST/PATH, without a user"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://[h/\"",
      "3: pipelines.a.setup.url: must be http://HOST/PATH or https://HOST/PATH, without a user"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h\"\nheaders = { Content-Type = \"x\" }",
      "4: pipelines.a.setup.headers: Content-Type is set by batchd itself"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"http\"\nurl = \"http://h\"\nheaders = { A = \"x\\ty\" }",
      "4: pipelines.a.setup.headers: A holds a control character"
    ),
    Mistake(
      "[gates.api]\ninterval_ms = 0",
      "2: gates.api.interval_ms: must be an integer from 1 to 3600000 (milliseconds), not 0"),
    Mistake(
      "[worker]\n\nmax_crashes = \"3\"",
      "3: worker.max_crashes: must be an integer from 1 to 1000 (crashes), not a string"),
    Mistake(
      "[worker]\nbeat_ms = 0.5",
      "2: worker.beat_ms: must be an integer from 10 to 15000 (milliseconds), not a number with a fraction"
    ),
    Mistake(
      "limits.json_depth = 1000",
      "1: limits.json_depth: must be an integer from 2 to 128 (levels), not 1000"),
    Mistake(
      "[limits]\nevent_count = -1",
      "2: limits.event_count: must be an integer from 100 to 10000000 (entries), not -1"),
    Mistake(
      "[pipelines.workiz]\nserve = \"yes\"",
      "2: pipelines.workiz.serve: must be true or false, not a string"),
    Mistake(
      "[pipelines.workiz.persistence]\non_drain = \"wait\"",
      "2: pipelines.workiz.persistence.on_drain: must be \"hand_back\" or \"finish\", not \"wait\""),
    Mistake(
      "[workiz]\noffset_unit = 2026-01-01",
      "2: workiz.offset_unit: must be \"records\" or \"pages\", not a date or time"),
    Mistake(
      "[workiz]\nbase_url = \"api.workiz.com\"",
      "2: workiz.base_url: must be https://HOST/PATH (or http://), without user, query or token"),
    Mistake(
      "[redis]\nurl = \"localhost:6379\"",
      "2: redis.url: must be redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB] (TLS), unix:///PATH[?db=N], redis+sentinel://HOST[:PORT],HOST[:PORT]/SERVICE[/DB] or redis+cluster://HOST[:PORT],HOST[:PORT]"
    ),
    Mistake(
      "prefix = \"{jobs}\"\nredis.url = \"redis+cluster://h/2\"",
      "2: redis.url: names a database; a Redis Cluster has only database 0"),
    Mistake(
      "prefix = \"jobs\"\n[redis]\nurl = \"redis+cluster://h\"",
      "1: prefix: prefix (jobs) must be in braces on a Redis Cluster, which redis.url names: write prefix = \"{jobs}\", or its keys would be on several nodes and no function could use them"
    ),
    Mistake(
      "[redis]\nsentinel_user = \"guide\"",
      "2: redis.sentinel_user: is for Sentinels only: write redis.url with redis+sentinel://, or remove it"
    ),
    Mistake("[store]\npath = \"\"", "2: store.path: must not be empty"),
    Mistake(
      "[store]\nurl = \"results.sqlite\"",
      "2: store.url: must be postgresql://USER@HOST/DATABASE, or KEY=VALUE pairs as libpq takes them; a password goes into the file that store.password_file names, or into store.password_credential or store.password_env"
    ),
    Mistake("[store]\nurl = 5432", "2: store.url: must be a string, not an integer"),
    Mistake("[redis]\nuser = true", "2: redis.user: must be a string, not a boolean"),
  ]

  /// Secrets in the wrong place; `hunter2` must not come back.
  static let secrets = [
    Mistake(
      "[redis]\npassword = \"hunter2\"",
      "2: redis.password: must not stand in a configuration file, which people copy and show; put it into a file that only batchd may read and name that with password_file, or use password_credential or password_env"
    ),
    Mistake(
      "[accounts.acme]\ntoken = \"hunter2\"",
      "2: accounts.acme.token: must not stand in a configuration file, which people copy and show; put it into a file that only batchd may read and name that with token_file, or use token_credential or token_env"
    ),
    Mistake(
      "[redis]\nurl = \"redis://:hunter2@host\"",
      "2: redis.url: must not hold a user or a password; use redis.user and redis.password_file, redis.password_credential or redis.password_env"
    ),
    Mistake(
      "[store]\nurl = \"postgresql://u:hunter2@h/d\"",
      "2: store.url: must not hold a password (password), which would be copied and shown with it; a password goes into the file that store.password_file names, or into store.password_credential or store.password_env"
    ),
    Mistake(
      "[store]\npassword = \"hunter2\"",
      "2: store.password: must not stand in a configuration file, which people copy and show; put it into a file that only batchd may read and name that with password_file, or use password_credential or password_env"
    ),
    Mistake(
      "[accounts.acme]\ntoken_env = \"hunter2-x\"",
      "2: accounts.acme.token_env: must be the name of an environment variable (A-Z a-z 0-9 _), not a value"
    ),
    Mistake(
      "[accounts.acme]\ntoken_credential = \"../hunter2\"",
      "2: accounts.acme.token_credential: must be the name of a systemd credential (1 to 128 characters of A-Z a-z 0-9 . _ -)"
    ),
    Mistake(
      "[redis]\npassword = hunter2",
      "2: not TOML: Error while parsing value: could not determine value type"),
    Mistake(
      "[redis]\npassword_env = \"A\"\npassword_file = \"b\"",
      "2: redis.password_env: is one too many: password_file is given too; use one of them"),
    Mistake(
      "[accounts.acme]\n",
      "1: accounts.acme: no token; give one of token_file, token_credential, token_env"),
    Mistake(
      "[accounts.\"a b\"]\ntoken_env = \"A\"",
      "1: accounts.a b: an account's name must be 1 to 128 characters of A-Z a-z 0-9 . _ -"),
    Mistake(
      "[accounts]\nacme = 3", "2: accounts.acme: must be a table, [accounts.acme], not an integer"),
  ]

  /// Values that are right alone and wrong together.
  static let rules = [
    Mistake(
      "[limits]\nbatch_output_bytes = 2000000\n[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\noutput_bytes = 3000000",
      "6: pipelines.a.setup.output_bytes: output_bytes (3000000) must not be over limits.batch_output_bytes (2000000): one output is part of what its batch may have"
    ),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"pass\"\n[pipelines.b.setup]\nhandler = \"pass\"",
      " default_pipeline: say which pipeline an entry means that names none: a, b"),
    Mistake(
      "[pipelines.a]\ncounts = \"setup\"\nmetadata = { handler = \"pass\" }",
      "2: pipelines.a.counts: must be one of the pipeline's stages: metadata"),
    Mistake(
      "[pipelines.workiz]\nserve = false",
      "1: pipelines: serve = false in all of them leaves nothing to do"),
    Mistake(
      "[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\ngate = \"api\"",
      "4: pipelines.a.setup.gate: no such gate; make it: [gates.api]"),
    Mistake(
      "[gates.ap]\n[pipelines.a.setup]\nhandler = \"exec\"\ncommand = [\"ls\"]\ngate = \"api\"",
      "5: pipelines.a.setup.gate: no such gate; known: ap"),
    Mistake(
      "[worker]\nlease_ms = 10000",
      "2: worker.lease_ms: beat_ms (5000) must be less than half of lease_ms (10000): one lost renewal must not cost the lease"
    ),
    Mistake(
      "[worker]\nlease_ms = 2000\nbeat_ms = 500",
      "2: worker.lease_ms: redis.call_timeout_ms (5000) must be less than worker.lease_ms (2000): a call that hangs must be given up while the lease still holds"
    ),
    Mistake(
      "[retry]\nbackoff_ms = 400000",
      "2: retry.backoff_ms: backoff_ms (400000) must not be over cap_ms (300000): the first backoff is the smallest"
    ),
    Mistake(
      "[pipelines.workiz.setup]\ncap_ms = 100",
      "2: pipelines.workiz.setup.cap_ms: backoff_ms (2000) must not be over cap_ms (100): the first backoff is the smallest"
    ),
    Mistake(
      "[worker]\ndrain_ms = 0\n[pipelines.workiz.metadata]\non_drain = \"finish\"",
      "4: pipelines.workiz.metadata.on_drain: \"finish\" needs worker.drain_ms over 0: with 0 a stopping worker waits for nothing"
    ),
    Mistake(
      "[limits]\nitem_count = 5",
      "2: limits.item_count: workiz.batch_size (10) must not be over limits.item_count (5): batchd would reject its own batches"
    ),
    Mistake(
      "[store]\npath = \"/var/lib/batchd/batchd.sqlite\"\nurl = \"service=results\"",
      "3: store.url: is one too many: store.path is given too; the one is a PostgreSQL database, the other an SQLite file: use one of them"
    ),
    Mistake(
      "[store]\npassword_env = \"PASSWORD\"",
      "2: store.password_env: is for PostgreSQL only: write store.url with postgresql://, or remove it"
    ),
    Mistake(
      "[redis]\nca_file = \"ca.pem\"",
      "2: redis.ca_file: is for TLS only: write redis.url with rediss://, or remove it"),
    Mistake(
      "[redis]\nurl = \"rediss://h\"\nkey_file = \"key.pem\"",
      "3: redis.key_file: certificate_file and key_file are of use only together: the certificate is what the server sees, the key proves it"
    ),
  ]

  @Test func allProblemsOfAFileComeAtOnceInTheOrderOfItsLines() {
    let text = """
      prefix = 1
      [worker]
      beat_ms = 8000
      colour = "red"
      [redis]
      url = ""
      """
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(parsing: text, file: "/etc/c.toml")
    }
    let places = error?.message.split(separator: "\n").map { $0.prefix { $0 != " " } }
    #expect(places == ["/etc/c.toml:1:", "/etc/c.toml:3:", "/etc/c.toml:4:", "/etc/c.toml:6:"])
  }

  @Test func anInstanceFromTheCommandLineFollowsTheSameRule() throws {
    let configuration = try Configuration(parsing: "", file: "c.toml", instance: "a-2")
    #expect(configuration.instance == "a-2")
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(parsing: "", file: "c.toml", instance: "a/2")
    }
    #expect(error?.message == "--instance: must be 1 to 128 characters of A-Z a-z 0-9 . _ -")
  }
}
