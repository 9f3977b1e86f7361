import CPostgres
import Foundation
import TestSupport
import Testing

@testable import Stores

/// The ways to a database, and what a person is told who is not let in.
@Suite struct PostgreSQLAccessTests {
  @Test func aWrongPasswordIsNamedButNotRepeated() async throws {
    let server = try await sharedPostgreSQL.value
    let database = try await server.sql("SELECT current_database()")
    let address = server.address(of: database, role: "locked")
    for password in ["wrong: 'x y", nil] {
      let error = await #expect(throws: StoreError.self) {
        try await PostgreSQLStore(address, password: password)
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("password") == true)
      #expect(error?.message.contains("wrong:") == false)
      #expect(error?.message.contains("store.password_file") == (password == nil))
    }
  }

  @Test func thePasswordOfARoleOpensItsSchema() async throws {
    let server = try await sharedPostgreSQL.value
    _ = try await server.database("of_locked")
    let address = server.address(of: "of_locked", role: "locked")
    let error = await #expect(throws: StoreError.self) {
      try await PostgreSQLStore(address, password: TestPostgreSQL.password)
    }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("permission denied for schema public") == true)
    #expect(error?.message.contains("grant batchd's role CREATE") == true)
    _ = try await server.sql("CREATE SCHEMA locked AUTHORIZATION locked", in: "of_locked")
    let store = try await PostgreSQLStore(address, password: TestPostgreSQL.password)
    #expect(try await store.epoch() == 0)
    try await store.close()
    #expect(try await server.sql("SELECT epoch FROM locked.batchd_store", in: "of_locked") == "0")
  }

  /// Pieces of a password with characters of its own land in other places of an address.
  @Test(arguments: [
    "postgresql://u:hunter2@h/d", "postgresql://h/d?password=hunter2", "password=hunter2",
    "password='hunter2 ' host=h", "postgresql://u:p@hunter2@h/d", "postgresql://u:hunter2/x@h/d",
    "postgresql://u:p?hunter2@h/d", "hunter2", "host=h password=x hunter2",
    "host=h sslpassword=hunter2", "postgresql://u:p#hunter2@h/d", "port=hunter2",
    "postgresql://h/d?hunter2=1", "postgresql://u%@hunter2/d",
  ])
  func anAddressWithAPasswordIsRefusedAndNotRepeated(address: String) async throws {
    let error = await #expect(throws: StoreError.self) { try await PostgreSQLStore(address) }
    #expect(error?.code == .invalid)
    #expect(error?.message.contains("hunter2") == false, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    "postgresql://u@h1:5432,h2/d?sslmode=verify-full&target_session_attrs=read-write",
    "postgres:///d?host=/run/postgresql", "service=results", "host=h dbname=d user='a b'", "",
  ])
  func everyFormOfAddressIsTaken(address: String) throws {
    #expect(try PostgreSQLStore.mistake(in: address) == nil)
  }

  /// An old library lacks a function; the system's mathematics lack all of them.
  @Test(arguments: [
    ("libpq.so.none", "cannot open shared object file"), ("libm.so.6", "libm.so.6 has no PQ"),
  ])
  func aMissingLibraryIsNamedWithItsRemedy(name: String, reason: String) {
    let error = #expect(throws: StoreError.self) { try LibPQ(loading: name) }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    #expect(error?.message.hasSuffix("apt-get install libpq5") == true)
  }

  @Test func aMissingDatabaseIsNamed() async throws {
    let address = try await sharedPostgreSQL.value.address(of: "nowhere")
    let error = await #expect(throws: StoreError.self) { try await PostgreSQLStore(address) }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains(#"database "nowhere" does not exist"#) == true)
  }

  @Test func aServiceFileNamesTheDatabase() async throws {
    let address = try await sharedPostgreSQL.value.database()
    try await withFolder { folder in
      let lines = address.split(separator: " ").joined(separator: "\n")
      try "[results]\n\(lines)\n".write(
        toFile: folder + "/services", atomically: false, encoding: .utf8)
      await #expect(processExitsWith: .success) { [folder = folder as String] in
        setenv("PGSERVICEFILE", folder + "/services", 1)
        let store = try await PostgreSQLStore("service=results")
        try await store.raise(epoch: 7)
        try await store.close()
      }
    }
    #expect(try PostgreSQLClient(address).rows("SELECT epoch FROM batchd_store") == ["7"])
  }

  @Test func theServersCertificateIsVerified() async throws {
    let certificates = try await TestCertificates()
    let server = try await TestPostgreSQL(tls: certificates)
    _ = try await server.database("results")
    func address(_ host: String, _ authority: String) -> String {
      "postgresql://batchd@\(host):\(server.tlsPort)/results?sslmode=verify-full&sslrootcert=\(authority)"
    }
    let store = try await PostgreSQLStore(address("localhost", certificates.ca))
    #expect(
      try await server.sql(
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
          + " WHERE application_name = 'batchd'") == "t")
    try await store.close()
    for (host, authority) in [
      ("localhost", certificates.otherCA), ("127.0.0.1", certificates.ca),
    ] {
      let error = await #expect(throws: StoreError.self) {
        try await PostgreSQLStore(address(host, authority))
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("certificate") == true, "\(error?.message ?? "")")
    }
  }

  @Test func tablesOfAnotherProgramAreLeftAlone() async throws {
    let address = try await sharedPostgreSQL.value.database()
    let other = try PostgreSQLClient(address)
    try other.rows("CREATE TABLE accounts (id int); CREATE TABLE jobs (id int)")
    let error = await #expect(throws: StoreError.self) { try await PostgreSQLStore(address) }
    #expect(error?.code == .incompatible)
    #expect(error?.message.contains("another program") == true)
    #expect(error?.message.contains("(jobs)") == true)
    #expect(
      try other.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        == ["accounts", "jobs"])
    // As the message says.
    try other.rows("CREATE SCHEMA results")
    let store = try await PostgreSQLStore(address + " options=-csearch_path=results")
    #expect(try await store.epoch() == 0)
    try await store.close()
    // And what is not in the way does not hinder.
    try other.rows("DROP TABLE jobs")
    try await PostgreSQLStore(address).close()
  }

  @Test func aNewerSchemaIsIncompatible() async throws {
    let address = try await sharedPostgreSQL.value.database()
    try await PostgreSQLStore(address).close()
    let other = try PostgreSQLClient(address)
    try other.rows("UPDATE batchd_store SET schema_version = 99")
    let error = await #expect(throws: StoreError.self) { try await PostgreSQLStore(address) }
    #expect(error?.code == .incompatible)
    #expect(error?.message.contains("99") == true)
    #expect(try other.rows("SELECT schema_version FROM batchd_store") == ["99"])
  }

  @Test func anEncodingWithoutRoomIsIncompatible() async throws {
    let address = try await sharedPostgreSQL.value.database(encoding: "LATIN1")
    let error = await #expect(throws: StoreError.self) { try await PostgreSQLStore(address) }
    #expect(error?.code == .incompatible)
    #expect(error?.message.contains("createdb --encoding=UTF8") == true)
    #expect(try PostgreSQLClient(address).rows("SELECT to_regclass('jobs')") == [""])
  }
}
