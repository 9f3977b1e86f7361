internal import ArgumentParser
internal import Pipeline
internal import Queue

/// `batchd enqueue`
struct EnqueueCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enqueue",
    abstract: "Enqueue a batch, or a stream of them.",
    discussion: """
      The same as LPUSH batchd:enqueue, but checked before it is sent. Prints the id of each batch \
      on standard output.

        batchd enqueue --id b1 --account acme A1B2C3 D4E5F6
        batchd enqueue --operation nightly --account acme --items-file jobs.txt
        batchd enqueue --id b2 --account acme --payload '{"discover":true}' --wait
        batchd enqueue --raw < envelopes.ndjson
        batchd enqueue --spool /var/spool/batchd --id b3 --account acme A1B2C3
        batchd enqueue --spool /var/spool/batchd

      With --spool a batch is kept in the folder while Redis is away, and what is there is \
      delivered first, in order; without a batch all of it is delivered, and Redis waited for. A \
      --delay counts from then.

      Exit codes: 0 enqueued or kept (with --wait: completed), 1 with --wait otherwise, 64 and 65 \
      wrong, 69 Redis is away.
      """)

  @OptionGroup(title: "The batch") var batch: BatchOptions

  @Flag(
    help: """
      Read envelopes from standard input, one JSON object a line, instead. All are checked before \
      the first is sent.
      """)
  var raw = false

  @Option(
    help: ArgumentHelp(
      "Keep the batch in this folder while Redis is away.", valueName: "folder"),
    completion: .directory)
  var spool: String?

  @Flag(help: "Watch until the end.")
  var wait = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if raw && !batch.isEmpty {
      throw ValidationError(
        "--raw takes whole envelopes from standard input; no other option of a batch")
    }
    if !raw && batch.isEmpty && spool == nil {
      throw ValidationError("nothing to enqueue; give items, --id or --operation, or --raw")
    }
    if wait && spool != nil {
      throw ValidationError("--wait needs Redis, --spool does without; use batchd watch later")
    }
  }

  func run() async throws {
    let configuration = try common.configuration()
    if spool != nil, common.prefix != nil, configuration.prefixes.names.count > 1 {
      throw ValidationError("--spool delivers what is for any prefix: leave --prefix out")
    }
    if let spool, !raw, batch.isEmpty {
      return try await deliver(Spool(spool), configuration)
    }
    let envelopes =
      raw
      ? try Self.envelopes(in: try TextInput.bytes(of: "-"), limits: configuration.limits)
      : [try batch.envelope(limits: configuration.limits)]
    if let spool { return try await enqueue(envelopes, Spool(spool), configuration) }
    var routes = common.routes(configuration)
    let admissions = try await Admission.check(envelopes, &routes, strict: !raw)
    // What fails at once would be over before the watch begins.
    let before = try await WatchCommand.now(routes.controls.map(\.control))
    try await routes.push(envelopes)
    let again = try common.repeated(configuration)
    try await report(envelopes.map(\.envelope), routes.controls.map(\.control), again: again)
    guard wait else { return }
    try await WatchCommand.watch(
      since: before, common: common, configuration, waitsForNames: true
    ) {
      var operations: [(String, [String])] = []
      for (control, admission) in admissions {
        operations.append((control.keys.prefix, try await admission.settled(control)))
      }
      return operations
    }
  }

  /// One envelope and the bytes that are sent.
  typealias Checked = (envelope: Envelope, bytes: [UInt8])

  /// Each line's envelope; an empty line is none.
  /// - Throws: `CommandError` that names line and field.
  static func envelopes(in bytes: [UInt8], limits: Limits) throws -> [Checked] {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let envelopes = try lines.enumerated().compactMap { number, line -> Checked? in
      let isBlank = line.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }
      guard !isBlank else { return nil }
      let bytes = [UInt8](line)
      do {
        guard bytes.count <= limits.envelopeBytes else {
          throw EnvelopeError(
            field: "entry",
            reason:
              "\(bytes.count) bytes, the limit is \(limits.envelopeBytes) (limits.envelope_bytes): split it"
          )
        }
        return (try Envelope(parsing: bytes, limits: limits), bytes)
      } catch let error as EnvelopeError {
        throw CommandError(.data, "line \(number + 1): \(error); nothing was enqueued")
      }
    }
    guard !envelopes.isEmpty else {
      throw CommandError(
        .data, "standard input holds no envelope; give one JSON object a line, like {\"id\":\"b1\"}"
      )
    }
    return envelopes
  }

  private struct Report: Encodable {
    let ids: [String]
    let operations: [String]
    /// Under the prefix with the fewest; missing while Redis is away.
    let workers: Int?
    let watch: String
    /// The file that keeps them, or the first one; missing when Redis has them.
    let spooled: String?
  }

  /// - Parameters:
  ///   - controls: of the prefixes that have them; none while Redis is away.
  ///   - spooled: the file that keeps them; nil when Redis has them.
  func report(
    _ envelopes: [Envelope], _ controls: [Control], again: String, spooled: String? = nil
  ) async throws {
    var workers: Int?
    var idle: [Control] = []
    for control in controls {
      let count = try await control.workerCount()
      workers = min(workers ?? count, count)
      if count == 0 { idle.append(control) }
    }
    let operations = Set(envelopes.compactMap { $0.operation ?? $0.id }).sorted()
    // A command line with a thousand names helps nobody.
    let names = operations.count > 8 ? "" : operations.map { " \($0)" }.joined()
    let watch = "batchd watch\(names)\(again)"
    let ids = envelopes.compactMap(\.id)
    if common.json {
      let report = Report(
        ids: ids, operations: operations, workers: workers, watch: watch, spooled: spooled)
      try await Terminal.write(try CommonOptions.json(report) + "\n")
    } else {
      try await Terminal.write(ids.map { $0 + "\n" }.joined())
      if !wait, spooled == nil { Terminal.complain("watch it: \(watch)") }
    }
    for control in idle { Terminal.complain(Wording.noWorker(control.keys)) }
  }
}
