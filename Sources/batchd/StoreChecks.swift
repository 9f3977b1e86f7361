internal import Foundation
internal import Queue
internal import Stores

/// What doctor can see of the results store; looking writes nothing into a file.
extension Configuration.StoreSettings {
  /// Whether the results store can be used.
  /// - Returns: its identity, too; nil when that is unknown.
  func check() async -> (area: Area, identity: String?) {
    var area = Area("store")
    var identity: String?
    do {
      identity = try await url == nil ? checkFile(&area) : checkDatabase(&area)
    } catch {
      area.findings.append(
        Finding(
          "store", CommandError(error)?.message ?? "\(error)",
          remedy: "mend it; until then workers wait, and what has ended stays in Redis"))
    }
    return (area, identity)
  }

  private func checkDatabase(_ area: inout Area) async throws -> String {
    let store = try await open(makesTables: false)
    let identity = try await store.identity()
    try await store.close()
    area.summary = "PostgreSQL answers"
    return identity
  }

  private func checkFile(_ area: inout Area) async throws -> String? {
    let files = FileManager.default
    if files.fileExists(atPath: path), !files.isReadableFile(atPath: path) {
      area.summary = "not looked at"
      area.notes.append("\(path) is not this user's to read: run doctor as batchd's user")
      return nil
    }
    let free = DiskSpace.free(at: DiskSpace.folder(of: path))
    area.findings += lowSpace(free)
    guard let condition = try await SQLiteCondition.look(at: path) else {
      area.summary = "there is none at \(path) yet; the first worker makes it"
      return nil
    }
    let size = try? files.attributesOfItem(atPath: path)[.size] as? Int
    area.summary =
      "\(path): schema \(condition.schemaVersion), \(DiskSpace.text(size ?? 0))"
      + (free.map { ", \(DiskSpace.text($0)) free" } ?? "")
    if let damage = condition.damage {
      area.findings.append(
        Finding(
          "store", "\(path) is damaged: \(damage)",
          remedy:
            "stop the workers; restore it from a backup, or save what is left with sqlite3's .recover"
        ))
    }
    if !condition.isChecked {
      area.notes.append(
        "\(path) is too large to be checked here: sqlite3 \(path) 'PRAGMA quick_check'")
    }
    if !files.isWritableFile(atPath: path) {
      area.notes.append(
        "\(path) is not this user's to write; whether it is the workers' nobody knows here")
    }
    return condition.identity
  }

  /// Whether the disk of an SQLite store is about to be full.
  func lowSpace(_ free: Int?) -> [Finding] {
    guard url == nil, let free, free < DiskSpace.leastBytes else { return [] }
    return [
      Finding(
        "store", "the disk of \(path) has \(DiskSpace.text(free)) left",
        remedy: "make room; when it is full, batches wait and what has ended stays in Redis")
    ]
  }
}
