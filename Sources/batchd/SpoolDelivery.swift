internal import Pipeline
internal import Queue
internal import Redis

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// From a spool to `batchd:enqueue`, in the order in which the batches came.
struct SpoolDelivery: Sendable {
  /// A file that could not be delivered. It was renamed, so that it is in nobody's way.
  struct Bad: Encodable, Sendable {
    let file: String
    let reason: String
  }

  struct Report: Encodable, Sendable {
    /// Batches.
    var delivered = 0
    var bad: [Bad] = []
  }

  static let firstPause = Duration.milliseconds(500)
  static let longestPause = Duration.seconds(10)

  private(set) var report = Report()
  /// The prefixes that did not take what came first for them, and why: what follows must wait behind it.
  private var away: [String: RedisError] = [:]
  private let spool: Spool
  private let limits: Limits

  /// Files that are delivered under one lock: who has a new batch must not wait for long.
  private static let step = 2_000

  init(_ spool: Spool, _ limits: Limits) {
    self.spool = spool
    self.limits = limits
  }

  /// Whether it is worth waiting, rather than a mistake.
  static func isAway(_ error: any Error) -> Bool {
    // A password that this user may not read, others can deliver with.
    if let error = error as? ConfigurationError { return error.code == .secret }
    return error is RedisError && CommandError(error)?.code == .unavailable
  }

  /// Delivers all there is; then `last`, while nobody can come between.
  /// - Parameter prefixes: those that `last` needs.
  /// - Throws: `RedisError`; what was not delivered stays. That some prefixes are away keeps nobody from the others.
  mutating func run(
    _ routes: inout Routes, before prefixes: [String] = [],
    last: (inout Routes) async throws -> Void
  ) async throws {
    let line = ProgressLine()
    defer { line.end() }
    away = [:]
    var kept: Set<String> = []
    var isEmpty = false
    while !isEmpty {
      try Task.checkCancellation()
      isEmpty = try await spool.locked {
        let files = try spool.files().filter { !kept.contains($0) }
        for path in files.prefix(Self.step) {
          if try await !deliver(path, &routes) { kept.insert(path) }
          line.show("\(Wording.count(report.delivered)) batches delivered")
        }
        guard files.count <= Self.step else { return false }
        if let error = prefixes.compactMap({ away[$0] }).first { throw error }
        try await last(&routes)
        return true
      }
    }
    if prefixes.isEmpty, let error = away.values.first { throw error }
  }

  /// - Returns: whether the file is done with.
  private mutating func deliver(_ path: String, _ routes: inout Routes) async throws -> Bool {
    let envelopes: [EnqueueCommand.Checked]
    do throws(CommandError) {
      envelopes = try read(path)
    } catch {
      // What cannot be read may hold batches: it stays, and in its place.
      guard error.code == .data else { throw error }
      try spool.setAside(path)
      report.bad.append(Bad(file: path + Spool.badEnding, reason: error.message))
      return true
    }
    let prefixes = try routes.grouped(envelopes, envelope: \.envelope).map(\.prefix)
    let reason = prefixes.compactMap { away[$0] }.first
    do {
      if let reason { throw reason }
      try await routes.push(envelopes)
    } catch let error as RedisError where routes.prefixes.names.count > 1 && Self.isAway(error) {
      for prefix in prefixes { away[prefix] = error }
      return false
    }
    report.delivered += envelopes.count
    // A crash before this delivers them twice: by their ids the second time is ignored.
    guard unlink(path) == 0 || errno == ENOENT else {
      throw CommandError(
        .unavailable,
        "\(path) was delivered and cannot be removed: \(String(cString: strerror(errno)))")
    }
    return true
  }

  private func read(_ path: String) throws(CommandError) -> [EnqueueCommand.Checked] {
    let bytes = try TextInput.bytes(of: path)
    do {
      return try EnqueueCommand.envelopes(in: bytes, limits: limits)
    } catch {
      let message = CommandError(error)?.message ?? "\(error)"
      throw CommandError(.data, message.replacing("standard input", with: "it"))
    }
  }

  /// What a person should know beside the answer.
  func tell() {
    for bad in report.bad {
      Terminal.complain("batchd: \(bad.file) was not delivered: \(bad.reason)")
    }
  }

  var words: String {
    "delivered \(Wording.count(report.delivered, "batch", "batches")) from \(spool.folder)"
  }
}
