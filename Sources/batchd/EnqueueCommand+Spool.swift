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
    var routes = common.routes(configuration)
    var isSent = false
    do {
      _ = try await Admission.check(named, &routes, strict: !raw)
      var delivery = SpoolDelivery(spool, configuration.limits)
      defer { delivery.tell() }
      let prefixes = try routes.grouped(named, envelope: \.envelope).map(\.prefix)
      try await delivery.run(&routes, before: prefixes) { routes in
        isSent = true
        try await routes.push(named)
      }
    } catch let error where SpoolDelivery.isAway(error) {
      // A refusal of Redis is an answer, if it was the only one.
      let isAnswer = (error as? RedisError)?.serverCode.isEmpty == false && named.count == 1
      let paths = try await keep(
        named, spool, CommandError(error)?.message ?? "\(error)", isUnknown: isSent && !isAnswer,
        again: again)
      return try await report(named.map(\.envelope), [], again: again, spooled: paths.first)
    }
    try await report(named.map(\.envelope), routes.controls.map(\.control), again: again)
  }

  /// - Parameters:
  ///   - reason: why they are not enqueued.
  ///   - isUnknown: whether Redis may have taken them, for its answer was lost.
  private func keep(
    _ envelopes: [Checked], _ spool: Spool, _ reason: String, isUnknown: Bool, again: String
  ) async throws -> [String] {
    let outcome =
      isUnknown
      ? "whether it was enqueued nobody knows: batchd status\(again) may show it"
      : "nothing was enqueued"
    if let rerun = envelopes.first(where: \.envelope.isRerun)?.envelope.id {
      throw CommandError(
        .unavailable,
        "\(reason); \"\(rerun)\" is a rerun, which is not kept: delivered twice it would run twice; \(outcome)"
      )
    }
    let paths: [String]
    do {
      // One that is away shall hold up no batches of the others.
      let groups = try common.routes(common.configuration()).grouped(
        envelopes, envelope: \.envelope)
      paths = try await spool.locked {
        try groups.flatMap { try spool.keep($0.elements.map(\.bytes)) }
      }
    } catch let failure as CommandError {
      throw CommandError(
        failure.code, "\(reason); and \(failure.message); \(outcome)")
    }
    let what = Wording.count(envelopes.count, "batch is", "batches are")
    Terminal.complain("batchd: \(reason)")
    Terminal.complain(
      "\(what) kept in \(paths.joined(separator: ", ")); to deliver: batchd enqueue --spool \(spool.folder)\(again)\nnot checked: whether ids and pipelines are known"
    )
    return paths
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
      defer { delivery.tell() }
      var pause = SpoolDelivery.firstPause
      var reason: String?
      while try !spool.files().isEmpty {
        do {
          var routes = common.routes(configuration)
          try await delivery.run(&routes) { _ in }
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
      try common.answer(delivery.words, delivery.report)
      return delivery.report.bad.count
    }
    guard bad == 0 else { throw ExitCode(CommandError.Code.data.rawValue) }
  }
}
