/// Why a call to PostgreSQL came to nothing.
struct PostgreSQLFailure: Error {
  enum Reason: Equatable {
    /// No connection could be opened; because the server wants a password and there is none.
    case unopened, passwordless
    /// The connection broke. What was sent may have run.
    case lost
    /// No answer by the deadline. What was sent may have run.
    case late
    /// The server refused, with this SQLSTATE.
    case refused(String)
  }

  let reason: Reason
  /// What libpq or the server said, on one line.
  let message: String

  init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}

extension StoreError {
  /// Says which database failed, how, and what a person can do about it.
  init(_ failure: PostgreSQLFailure, place: String) {
    let (code, advice): (Code, String) =
      switch failure.reason {
      case .unopened:
        (
          .unavailable,
          "start the server, or mend the address; where it runs, its log and pg_hba.conf say what it refuses"
        )
      case .passwordless:
        (.unavailable, "give it in store.password_file, or in the file that PGPASSFILE names")
      case .lost: (.unavailable, "the next call opens a new connection; the server's log says why")
      case .late:
        (
          .unavailable,
          "the server is too busy or cannot be reached; it may have done what it was told"
        )
      case .refused(let state): Self.advice(on: state)
      }
    self.init(code, "\(place): \(failure.message): \(advice)")
  }

  /// What to do about an SQLSTATE, a class of two characters and a code of three within it.
  private static func advice(on state: String) -> (Code, String) {
    switch (String(state.prefix(2)), state) {
    case (_, "55P03"), (_, "57014"):
      (
        .unavailable,
        "another transaction holds its rows, or the server is too busy; pg_stat_activity shows who"
      )
    case (_, "25006"):
      (
        .unavailable,
        "name a primary, or several hosts with target_session_attrs=read-write, and no read-only role"
      )
    case (_, "42501"):
      (
        .unavailable,
        "grant batchd's role CREATE and USAGE on its schema, or make it the owner of its tables"
      )
    case ("26", _), (_, "42P05"):
      (
        .unavailable,
        "a pooler changes servers between statements: connect without it, or pool by session"
      )
    case ("28", _): (.unavailable, "look at the role, its password and pg_hba.conf")
    case ("53", _): (.unavailable, "the server is out of disk, memory or connections; give it some")
    case ("22", _), ("23", _), ("54", _):
      (.invalid, "the store does not take this value and will not at a repetition either")
    case ("3F", _):
      (.incompatible, "make the schema that search_path names first, or correct search_path")
    case ("0A", _), ("42", _):
      (
        .incompatible,
        "its tables are not as batchd made them, or the server is older than PostgreSQL 13; restore them or name another database"
      )
    case (_, "XX001"), (_, "XX002"): (.incompatible, "its data are damaged; restore a backup")
    default: (.unavailable, "the server's log says more")
    }
  }
}
