internal import ArgumentParser
internal import Pipeline
internal import Queue
internal import Redis

/// `enqueue --spool`: batches that wait in a folder while Redis is away.
extension EnqueueCommand {
  /// Enqueues after what the folder keeps already, or keeps the batches there, too.
  func enqueue(
    _ envelopes: [Checked], _ spool: Spool, _ configuration: Configuration
  ) async throws {
    // Each with an id of its own: what is delivered twice is then a duplicate, which is ignored.
    let named = try envelopes.map { try Self.named($0, limits: configuration.limits) }
    let again = try common.repeated(configuration)
    let control: Control
    do {
      control = try await common.connect(configuration)
      _ = try await Admission(of: named.map(\.envelope), control, strict: !raw)
      var delivery = SpoolDelivery(spool, configuration.limits)
      try await delivery.run(control) { try await control.push(named.map(\.bytes)) }
      delivery.tell()
    } catch let error as RedisError where SpoolDelivery.isAway(error) {
      let path = try await keep(named, spool, error, again: again)
      return try await report(named.map(\.envelope), nil, again: again, spooled: path)
    }
    try await report(named.map(\.envelope), control, again: again)
  }

  private func keep(
    _ envelopes: [Checked], _ spool: Spool, _ error: RedisError, again: String
  ) async throws -> String {
    if let rerun = envelopes.first(where: \.envelope.isRerun)?.envelope.id {
      throw CommandError(
        .unavailable,
        "\(error.message); \"\(rerun)\" is a rerun, which is not kept: delivered twice it would run twice; nothing was enqueued"
      )
    }
    let path: String
    do {
      path = try await spool.locked { try spool.keep(envelopes.map(\.bytes)) }
    } catch let failure as CommandError {
      throw CommandError(
        failure.code, "\(error.message); and \(failure.message); nothing was enqueued")
    }
    let what = Wording.count(envelopes.count, "batch is", "batches are")
    Terminal.complain("batchd: \(error.message)")
    Terminal.complain(
      "\(what) kept in \(path); to deliver: batchd enqueue --spool \(spool.folder)\(again)\nnot checked: whether ids and pipelines are known"
    )
    return path
  }

  /// The envelope with an id, its other bytes as they are.
  private static func named(_ checked: Checked, limits: Limits) throws -> Checked {
    guard checked.envelope.id == nil else { return checked }
    var (envelope, bytes) = checked
    let id = Control.makeID(operation: envelope.operation)
    envelope.id = id
    // It has at least an operation, so a comma is due.
    guard let brace = bytes.firstIndex(of: UInt8(ascii: "{")) else { return checked }
    bytes.insert(contentsOf: Array("\"id\":\"\(id)\",".utf8), at: brace + 1)
    guard bytes.count <= limits.envelopeBytes else {
      throw CommandError(
        .data,
        "with an id the batch has \(bytes.count) bytes, the limit is \(limits.envelopeBytes) (limits.envelope_bytes); split it"
      )
    }
    return (envelope, bytes)
  }

  /// Delivers all that the folder keeps, waiting for Redis.
  func deliver(_ spool: Spool, _ configuration: Configuration) async throws {
    let bad = try await Interrupt.orFinished {
      var delivery = SpoolDelivery(spool, configuration.limits)
      var pause = SpoolDelivery.firstPause
      var reason: String?
      while try !spool.files().isEmpty {
        do {
          let control = try await common.connect(configuration)
          try await delivery.run(control) {}
        } catch let error as RedisError where SpoolDelivery.isAway(error) {
          if reason != error.message {
            let count = Wording.count(try spool.files().count, "file waits", "files wait")
            Terminal.complain("batchd: \(error.message); \(count) in \(spool.folder), trying again")
          }
          reason = error.message
          try await Task.sleep(for: pause)
          pause = min(pause * 2, SpoolDelivery.longestPause)
        }
      }
      delivery.tell()
      try common.answer(delivery.words, delivery.report)
      return delivery.report.bad.count
    }
    guard bad == 0 else { throw ExitCode(CommandError.Code.data.rawValue) }
  }
}
