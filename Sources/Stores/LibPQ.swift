internal import CPostgres
internal import Glibc

/// Loaded when a PostgreSQL store is named, and not with the program: with OpenSSL, Kerberos and LDAP, which it brings
/// along, it makes a process 5 MB heavier, and most write to SQLite.
extension LibPQ {
  private static let loaded = Result { try LibPQ(loading: "libpq.so.5") }

  /// - Throws: `StoreError` with code `.unavailable` when it is not installed.
  static func load() throws -> LibPQ { try loaded.get() }

  init(loading name: String) throws {
    self.init()
    let lack: String?
    if let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) {
      lack = libpq_find(&self, library).map { "\(name) has no \(String(cString: $0))" }
    } else {
      lack = dlerror().map { String(cString: $0) } ?? name
    }
    if let lack {
      throw StoreError(
        .unavailable,
        "a PostgreSQL store needs libpq, which cannot be loaded (\(lack)): apt-get install libpq5")
    }
  }
}
