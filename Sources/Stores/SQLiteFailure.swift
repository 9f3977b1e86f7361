internal import GRDB

extension StoreError {
  /// Says which file failed, how, and what a person can do about it.
  init(_ error: DatabaseError, path: String) {
    let detail = error.message ?? "\(error.resultCode)"
    let (code, advice): (Code, String) =
      switch error.resultCode {
      case .SQLITE_FULL:
        (.unavailable, "the disk is full; free space or move the file")
      case .SQLITE_BUSY, .SQLITE_LOCKED:
        (
          .unavailable,
          "another process holds its write lock; close whatever keeps a transaction open"
        )
      case .SQLITE_READONLY:
        (.unavailable, "make the file and its folder writable for batchd's user")
      case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
        (.unavailable, "it must be a file in a folder that batchd's user may write")
      case .SQLITE_MISUSE:
        (.unavailable, "it was closed; open the store again")
      case .SQLITE_NOTADB:
        (
          .incompatible,
          "it is not an SQLite database; name another file or restore it from a backup"
        )
      case .SQLITE_CORRUPT:
        (.incompatible, "restore it from a backup, or save what is left with sqlite3's .recover")
      case .SQLITE_ERROR, .SQLITE_SCHEMA:
        (.incompatible, "its tables are not as batchd made them; restore them or name another file")
      case .SQLITE_CONSTRAINT, .SQLITE_MISMATCH, .SQLITE_TOOBIG:
        (.invalid, "the store does not take this value and will not at a repetition either")
      default:
        (.unavailable, "the disk may be full or failing; check its free space and the kernel's log")
      }
    self.init(code, "\(path): \(detail): \(advice)")
  }
}
