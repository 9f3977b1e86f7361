internal import NIOCore

/// What every connection says first: AUTH, SELECT, its name, and a PING that shows it is usable
/// (a Redis that still loads its data answers everything but the PING).
enum Handshake {
  static func perform(
    on connection: RedisConnection, _ configuration: RedisConfiguration, role: ServerRole,
    deadline: NIODeadline
  ) async throws {
    if let password = configuration.password {
      let owner = configuration.user.map { [RedisArgument.text($0)] } ?? []
      try await call(
        ["AUTH"] + owner + [.text(password)], on: connection, configuration, deadline,
        remedy: "check user and password, and that Redis is 6 or newer if there is a user")
    }
    if configuration.database != 0 {
      try await call(
        ["SELECT", .integer(configuration.database)], on: connection, configuration, deadline,
        remedy: "check the database number; Redis Cluster and some providers have only 0")
    }
    // A name is a convenience: some providers and ACLs refuse it.
    try? await call(
      ["CLIENT", "SETNAME", .text(configuration.clientName)], on: connection, configuration,
      deadline, remedy: "")
    try Task.checkCancellation()
    do {
      try await call(["PING"], on: connection, configuration, deadline, remedy: nil)
    } catch let error as RedisError
      where error.serverCode == "NOPERM" || error.serverCode == "MISCONF"
    {
      // An ACL without +ping has answered, which is all that was asked; so has a Redis that cannot write to its disk.
    } catch let error as RedisError where error.serverCode == "NOAUTH" {
      let remedy =
        role == .sentinel
        ? "give the Sentinels' own password: sentinel_password"
        : "put user and password into the configuration, or into the URL"
      throw RedisError(code: .server, message: error.message + " — " + remedy)
    }
    try await role.verify(on: connection, deadline: deadline)
  }

  private static func call(
    _ arguments: [RedisArgument], on connection: RedisConnection,
    _ configuration: RedisConfiguration, _ deadline: NIODeadline, remedy: String?
  ) async throws {
    do {
      _ = try await connection.call(arguments, deadline: deadline)
    } catch let error as RedisError where error.code == .server {
      // "unknown command" repeats the arguments, AUTH's among them.
      var message = error.message
      if let password = configuration.password, !password.isEmpty {
        message.replace(password, with: "…")
      }
      throw RedisError(
        code: .server, message: message + (remedy.map { " — \($0)" } ?? ""))
    }
  }
}
