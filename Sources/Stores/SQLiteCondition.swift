internal import Dispatch
internal import GRDB
internal import Glibc

/// How the file of an SQLite store fares, seen without a write: workers may use it meanwhile.
public struct SQLiteCondition: Sendable {
  public let identity: String
  /// Of the tables.
  public let schemaVersion: Int
  /// What SQLite's quick check found; nil when it found nothing.
  public let damage: String?
  /// Whether the check came to its end in its time: a large file takes minutes.
  public let isChecked: Bool

  /// Looks into a file.
  /// - Parameter checkMilliseconds: how long the check may take.
  /// - Returns: nil when there is no store in it yet, the file being missing or empty.
  /// - Throws: `StoreError` when it cannot be opened or read, or is another program's or a newer batchd's.
  public static func look(
    at path: String, checkMilliseconds: Int = 3_000
  ) async throws -> SQLiteCondition? {
    // SQLite's own files lie beside the file itself, not beside a link to it.
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    let path = String(cString: resolved)
    // A log beside the file: somebody writes, or was killed. Without one the file may be read as it is, where even a
    // reader would otherwise make the log's files.
    let hasLog = { FileIdentity(path: path + "-wal") != nil }
    if !hasLog() {
      let seen: Result<SQLiteCondition?, any Error>
      do { seen = .success(try await look(at: path, isStill: true, checkMilliseconds)) } catch {
        seen = .failure(error)
      }
      // Otherwise somebody began to write meanwhile, and what was read says nothing.
      if !hasLog() { return try seen.get() }
    }
    return try await look(at: path, isStill: false, checkMilliseconds)
  }

  private static func look(
    at path: String, isStill: Bool, _ checkMilliseconds: Int
  ) async throws -> SQLiteCondition? {
    var configuration = Configuration()
    configuration.readonly = true
    configuration.busyMode = .timeout(2)
    let address =
      "file:\(path.replacing("%", with: "%25").replacing("?", with: "%3f").replacing("#", with: "%23"))?immutable=1"
    do {
      let queue = try DatabaseQueue(path: isStill ? address : path, configuration: configuration)
      defer { try? queue.close() }
      let known = try await queue.read { db -> (String, Int)? in
        let version = try SQLiteSchema.version(db, path: path)
        guard version > 0 else { return nil }
        return (try String.fetchOne(db, sql: "SELECT identity FROM batchd_store") ?? "", version)
      }
      guard let (identity, version) = known else { return nil }
      let (damage, isChecked) = try await check(queue, milliseconds: checkMilliseconds)
      return SQLiteCondition(
        identity: identity, schemaVersion: version, damage: damage, isChecked: isChecked)
    } catch let error as DatabaseError { throw StoreError(error, path: path) }
  }

  private static func check(
    _ queue: DatabaseQueue, milliseconds: Int
  ) async throws -> (damage: String?, isChecked: Bool) {
    // On a thread of its own: the check itself keeps others from running. An interrupt that comes before the check begins is
    // forgotten.
    let end = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "batchd.check"))
    end.schedule(deadline: .now() + .milliseconds(milliseconds), repeating: .milliseconds(5))
    end.setEventHandler { queue.interrupt() }
    end.resume()
    defer { end.cancel() }
    do {
      let found = try await queue.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
      return (found == "ok" ? nil : found, true)
    } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT {
      return (nil, false)
    }
  }
}
