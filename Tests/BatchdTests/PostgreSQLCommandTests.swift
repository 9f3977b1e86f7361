import TestSupport
import Testing

/// A configuration that names a PostgreSQL database, as the built `batchd` uses it.
@Suite struct PostgreSQLCommandTests {
  @Test func theWorkerAndTheDoctorUseTheDatabaseOfTheConfiguration() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let server = try await TestPostgreSQL()
    _ = try await server.database("results")
    _ = try await server.sql("CREATE SCHEMA locked AUTHORIZATION locked", in: "results")
    let folder = try TemporaryFolder()
    try folder.write(TestPostgreSQL.password + "\n", to: "password")
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      url = "\(server.address(of: "results", role: "locked"))"
      password_file = "password"
      """, to: "config.toml")

    let before = try await harness.command(["doctor", "--config", config]).outcome()
    #expect(before.status == 1)
    #expect(before.output.contains("has no tables of batchd yet"), "\(before.output)")
    #expect(try await server.sql("SELECT to_regclass('locked.jobs')", in: "results") == "")

    let work = try harness.command(["work", "--config", config])
    await eventually(within: .seconds(20), "the worker has said which store it writes to") {
      let identity = try await server.sql(
        "SELECT identity FROM locked.batchd_store", in: "results")
      return try await harness.redis.cli("HGET", "batchd:store", "identity") == identity
    }
    #expect(try work.hasLoaded("libpq"))
    let doctor = try await harness.command(["doctor", "--config", config]).outcome()
    #expect(doctor.status == 0, "\(doctor.output)\(doctor.complaint)")
    work.interrupt()
    let worked = try await work.outcome()
    #expect(worked.status == 0, "\(worked.complaint)")

    server.stop()
    let after = try await harness.command(["doctor", "--config", config]).outcome()
    #expect(after.status == 1)
    #expect(after.output.contains("store PostgreSQL"), "\(after.output)")
    let again = try await harness.command(["work", "--config", config]).outcome()
    #expect(again.status == 69)
    #expect(again.complaint.contains("start the server"), "\(again.complaint)")
    for text in [before.output, after.output, worked.complaint, again.complaint] {
      #expect(!text.contains(TestPostgreSQL.password))
    }
  }

  /// libpq brings OpenSSL, Kerberos and LDAP along, of which every worker would bear the weight.
  @Test func aWorkerThatWritesToSQLiteDoesNotLoadLibpq() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let folder = try TemporaryFolder()
    let config = try folder.write(
      "[redis]\nurl = \"\(harness.redis.url)\"\n[store]\npath = \"own.sqlite\"", to: "config.toml")
    let work = try harness.command(["work", "--config", config])
    await eventually(within: .seconds(20), "the worker has registered") {
      try await harness.redis.cli("ZCARD", "batchd:workers") == "1"
    }
    #expect(try work.hasLoaded("libsqlite3"))
    for library in ["libpq", "libldap", "libkrb5", "libcrypto"] {
      #expect(try !work.hasLoaded(library))
    }
    work.interrupt()
    #expect(try await work.outcome().status == 0)
  }

  /// An empty file, which the loader finds first, stands for a machine without the library.
  @Test func withoutLibpqTheCommandsSayWhatToInstall() async throws {
    let harness = try await CommandHarness(redisArguments: ["--appendonly", "yes"])
    let folder = try TemporaryFolder()
    try folder.write("", to: "libpq.so.5")
    let environment = ["LD_LIBRARY_PATH": folder.path]
    let config = try folder.write(
      "[redis]\nurl = \"\(harness.redis.url)\"\n[store]\nurl = \"dbname=results\"",
      to: "config.toml")
    for command in [["check-config", config], ["work", "--config", config]] {
      let outcome = try await harness.command(command, environment: environment).outcome()
      #expect(outcome.status != 0)
      let text = outcome.output + outcome.complaint
      #expect(text.contains("store.url: a PostgreSQL store needs libpq"), "\(text)")
      #expect(text.contains("apt-get install libpq5"), "\(text)")
    }
    let other = try folder.write(
      "[redis]\nurl = \"\(harness.redis.url)\"\n[store]\npath = \"own.sqlite\"", to: "other.toml")
    let checked = try await harness.command(["check-config", other], environment: environment)
      .outcome()
    #expect(checked.status == 0, "\(checked.complaint)")
  }
}
