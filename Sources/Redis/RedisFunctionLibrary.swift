/// A library of Redis Functions (Redis 7.0 or newer, Valkey) and the rule which of two wins: the
/// higher revision, so that old and new workers may run side by side during a deploy.
public struct RedisFunctionLibrary: Sendable {
  private let name: String
  private let revision: Int
  private let code: String

  /// `code` starts with `#!lua name=…` and registers, beside its own functions, one called
  /// `NAME_revision` that returns `revision`.
  public init(name: String, revision: Int, code: String) {
    self.name = name
    self.revision = revision
    self.code = code
  }

  /// Whether a call failed because the library is not loaded (FLUSHALL leaves it, FUNCTION FLUSH and
  /// a Redis without persistence do not): load it and call again.
  public static func isMissing(_ error: RedisError) -> Bool {
    error.code == .server && error.message.hasPrefix("ERR Function not found")
  }

  /// Makes sure that this revision or a higher one is in force, and returns which. Throws
  /// `RedisError` that says what to do if Redis refuses.
  public func load(on connection: RedisConnection) async throws -> Int {
    // Twice: who loses the race for a missing library looks again at what the winner loaded.
    for _ in 1...2 {
      let present = try await loadedRevision(on: connection)
      if let present, present >= revision { return present }
      if try await load(on: connection, isMissing: present == nil) { break }
    }
    guard let present = try await loadedRevision(on: connection) else {
      throw refusal(
        RedisError(code: .server, message: "ERR Library '\(name)' already exists"),
        "a library of this name that is not ours is loaded; see FUNCTION LIST, remove it with "
          + "FUNCTION DELETE \(name) if nobody needs it, or use another Redis")
    }
    return present
  }

  private func loadedRevision(on connection: RedisConnection) async throws -> Int? {
    do {
      let reply = try await connection.call(["FCALL", .text("\(name)_revision"), 0])
      guard let present = reply.integer else {
        throw RedisError(
          code: .server,
          message: "ERR the function \(name)_revision answers no integer — another program's "
            + "library has taken the name; see FUNCTION LIST")
      }
      return present
    } catch let error as RedisError {
      if Self.isMissing(error) { return nil }
      throw refusal(error)
    }
  }

  /// False: somebody else was faster. A missing library is loaded without REPLACE, so that of two
  /// workers that both found nothing the older cannot overwrite what the newer has just loaded.
  private func load(on connection: RedisConnection, isMissing: Bool) async throws -> Bool {
    do {
      _ = try await connection.call(
        ["FUNCTION", "LOAD"] + (isMissing ? [] : ["REPLACE"]) + [.text(code)])
      return true
    } catch let error as RedisError {
      if isMissing, error.message.contains("Library"), error.message.contains("already exists") {
        return false
      }
      throw refusal(error)
    }
  }

  private func refusal(_ error: RedisError, _ remedy: String? = nil) -> RedisError {
    guard error.code == .server else { return error }
    guard let remedy = remedy ?? Self.remedy(error) else { return error }
    return RedisError(code: .server, message: "\(error.message) — \(remedy)")
  }

  private static func remedy(_ error: RedisError) -> String? {
    let message = error.message.lowercased()
    return if error.serverCode == "NOPERM" {
      "the ACL user needs +function|load and +fcall, and the commands that the functions use"
    } else if error.serverCode == "READONLY" {
      "this is a replica; give the URL of the primary"
    } else if message.contains("unknown command") {
      "Redis Functions need Redis 7.0 or newer, or Valkey"
    } else if message.contains("already exists") {
      "another library has registered this function; see FUNCTION LIST, remove that library with "
        + "FUNCTION DELETE if nobody needs it, or use another Redis"
    } else if error.serverCode == "OOM" {
      "Redis is out of memory; raise maxmemory"
    } else {
      nil
    }
  }
}
