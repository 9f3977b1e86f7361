internal import Pipeline
internal import Queue

/// A batch's explanation in words. Times stand as they are by Redis's clock, and as how long it is until or since then.
struct ExplanationWords {
  let found: Explanation
  /// What the configuration at hand says of the batch's stage; nil when there is none, for another worker's may differ.
  var retries: Int?
  var maxCrashes: Int?

  private static let eventCount = 6

  /// RFC 3339.
  static func text(_ milliseconds: Int) -> String {
    "\(Timestamp(milliseconds: Int64(milliseconds)))"
  }

  /// `21:30:05 (in 32s)`; of another day with its date.
  static func when(_ milliseconds: Int, now: Int) -> String {
    let text = text(milliseconds)
    let today = Self.text(now).prefix(10)
    let day = text.prefix(10) == today ? "" : "\(text.prefix(10)) "
    let distance = Wording.duration(milliseconds: abs(milliseconds - now))
    return
      "\(day)\(Wording.clock(text)) (\(milliseconds > now ? "in \(distance)" : "\(distance) ago"))"
  }

  static func when(_ rfc3339: String?, now: Int) -> String? {
    rfc3339.flatMap(Timestamp.init(rfc3339:)).map { when(Int($0.milliseconds), now: now) }
  }

  private func when(_ milliseconds: Int) -> String { Self.when(milliseconds, now: found.takenAt) }

  private func when(_ rfc3339: String?) -> String? { Self.when(rfc3339, now: found.takenAt) }

  var page: FactPage {
    var page = FactPage()
    page.add("where", place, found.whereabouts == .ended ? .plain : .bold)
    if let why { page.add("why", why) }
    addLane(&page)
    addLease(&page)
    for what in found.paused {
      page.add("paused", "\(what): nothing of it starts until it is resumed", .yellow)
    }
    for gate in found.gates { addGate(gate, &page) }
    if let batch = found.batch {
      addCounts(batch, &page)
      if let error = batch.error, found.whereabouts != .delayed { addError(error, batch, &page) }
    }
    for (at, error) in found.itemErrors.sorted(by: { $0.key < $1.key }).enumerated() {
      page.add(at == 0 ? "failed" : "", "\(error.key): \(error.value)", .red)
    }
    if let advice { page.add("do", advice, .green) }
    addEvents(&page)
    return page
  }

  /// What the library of errors says to the batch's own error, or to that of its items.
  var advice: String? {
    if let reason = found.rejection?.reason {
      return Trouble.of(reason, in: .rejected)?.remedy(for: found.id, nil)
    }
    let errors = [found.batch?.error].compactMap { $0 } + found.itemErrors.values.sorted()
    return errors.lazy.compactMap { Trouble.of($0) }.first?.remedy(for: found.id, found.batch)
  }

  /// Where it is, in a sentence.
  var place: String {
    let list = "\(found.batch?.pipeline ?? ""):\(found.batch?.stage ?? "")"
    switch found.whereabouts {
    case .unknown where found.hasEnvelopeOnly:
      return "nowhere: its record is gone, only its envelope is left"
    case .unknown where found.unseenEntries > 0:
      let unseen = Wording.count(found.unseenEntries, "entry", "entries")
      return
        "unknown: no batch and no operation has this name; at least \(unseen) of batchd:enqueue lie too deep to be searched"
    case .unknown: return "nowhere: Redis knows no batch and no operation of this name"
    case .enqueued:
      return
        "in \(found.place ?? ""), \(ahead("entry", "entries")): no batch yet, a worker has to admit it"
    case .rejected:
      let when = when(found.rejection?.at).map { " at \($0)" } ?? ""
      return "rejected\(when): it never became a batch"
    case .queue:
      if let worker = found.takenBy {
        return "taken out of the list of \(list) by \(worker), not yet leased"
      }
      guard found.ahead != nil else {
        return found.isInNoList
          ? "in no list: that of \(list), which its record names, does not hold it"
          : "in the list of \(list), behind more than 100,000 others"
      }
      return "in the list of \(list), \(ahead("batch", "batches"))"
    case .lane:
      return "in the lane of \(found.lane ?? ""), \(ahead("batch", "batches"))"
    case .suspects: return "among the suspects of \(list), \(ahead("batch", "batches"))"
    case .delayed: return "delayed until \(when(found.dueAt ?? 0))"
    case .leased: return "running \(list), attempt \(attempt)"
    case .ended:
      let status = (found.batch?.status ?? "").replacing("_", with: " ")
      return "\(status), \(when(found.batch?.finishedAt) ?? "at an unknown time")"
    case .adrift:
      return "nowhere: \(found.place ?? "no list") does not hold it, although its record says so"
    }
  }

  private func ahead(_ one: String, _ many: String) -> String {
    switch found.ahead {
    case nil: "behind more than 100,000"
    case 0: "next"
    case let count?: "behind \(Wording.count(count, one, many))"
    }
  }

  private var attempt: String {
    let attempt = found.batch?.attempt ?? 0
    return retries.map { "\(attempt) of \($0 + 1)" } ?? "\(attempt)"
  }

  private var why: String? {
    let batch = found.batch
    switch found.whereabouts {
    case .rejected: return found.rejection?.reason
    case .suspects:
      return
        "its worker died under it (\(Wording.count(found.crashes, "crash", "crashes"))): nobody knows whose fault that was, so it runs alone"
    case .delayed where batch?.status == "retrying":
      return "backoff before attempt \(attempt); the last one failed: \(batch?.error ?? "")"
    case .delayed where batch?.status == "pending" && batch?.error == nil:
      return "its envelope asks for it (delay or at)"
    case .delayed: return "put off, at no cost: \(batch?.error ?? "its worker asked for it")"
    case .enqueued where found.workers == 0: return "no worker is running"
    default: return nil
    }
  }

  private func addLane(_ page: inout FactPage) {
    guard let lane = found.lane else { return }
    if let holder = found.holder {
      page.add(
        "lane",
        "\(lane) is held by \(holder.batch.id): \(Self.state(of: holder, now: found.takenAt))")
    } else if found.whereabouts == .lane {
      page.add(
        "lane",
        found.paused.isEmpty
          ? "\(lane): nobody holds it" : "it holds \(lane) itself, in front of the others")
    }
  }

  /// How another batch fares, in a few words.
  static func state(of neighbour: Explanation.Neighbour, now: Int) -> String {
    let batch = neighbour.batch
    let until = neighbour.until.map { when($0, now: now) } ?? ""
    let error = batch.error.map { ": \($0)" } ?? ""
    let stage = batch.stage ?? ""
    return switch neighbour.whereabouts {
    case .delayed: "\(stage), \(batch.status) until \(until)\(error)"
    case .leased: "\(stage), attempt \(batch.attempt), run by \(batch.worker ?? "?")"
    case .queue: "\(stage), waits for a worker"
    case .suspects: "\(stage), a suspect that waits to run alone"
    case .lane:
      "\(stage), waits in its lane" + (neighbour.holder.map { ", which \($0) holds" } ?? "")
    default: "\(stage), \(batch.status)"
    }
  }

  private func addLease(_ page: inout FactPage) {
    switch found.whereabouts {
    case .leased:
      let since = when(found.leasedSince).map { " since \($0)" } ?? ""
      page.add(
        "lease",
        "held by \(found.batch?.worker ?? "?")\(since), \(found.isOverdue ? "ran out, not renewed, at" : "renewed until") \(when(found.leaseExpiresAt ?? 0))",
        found.isOverdue ? .red : .plain)
      guard let worker = found.worker else {
        return page.add("worker", "unknown: gone for more than a day", .red)
      }
      let isAlive = worker.state == .alive
      page.add(
        "worker",
        "\(worker.name) on \(worker.host), pid \(worker.pid), last heard \(when(worker.beatAt))\(isAlive ? "" : ": it seems dead")",
        isAlive ? .plain : .red)
    case .queue, .suspects, .lane, .delayed, .adrift:
      let list = "\(found.batch?.pipeline ?? ""):\(found.batch?.stage ?? "")"
      guard !found.serving.isEmpty else {
        let living = Wording.count(found.workers, "living worker", "living workers")
        return page.add(
          "workers",
          found.workers == 0
            ? "no worker is running at all" : "none of the \(living) serves \(list)", .red)
      }
      let names = found.serving.prefix(3).map(\.name)
      let more = found.serving.count > 3 ? ", …" : ""
      page.add(
        "workers",
        "\(found.serving.count) \(found.serving.count == 1 ? "serves" : "serve") \(list): \(names.joined(separator: ", "))\(more)"
      )
      if found.runningCount > 0 {
        let others = found.runningCount > found.running.count ? ", …" : ""
        page.add(
          "slots",
          "\(Wording.count(found.runningCount, "batch runs", "batches run")) there now: \(found.running.joined(separator: ", "))\(others)"
        )
      }
    default: break
    }
    if found.isCancelling {
      page.add("cancel", "asked for: it ends at its next renewal or checkpoint", .yellow)
    }
  }

  private func addGate(_ gate: Snapshot.Gate, _ page: inout FactPage) {
    let isClosed = gate.opensAt > found.takenAt
    let opens = when(gate.opensAt)
    let interval = Wording.duration(milliseconds: gate.intervalMilliseconds)
    let words =
      if !isClosed { "is open" } else if let reason = gate.reason {
        "is closed until \(opens): \(reason)"
      } else {
        "gives the next permission at \(opens): one request every \(interval)"
      }
    page.add(
      "gate", "\(gate.name) \(words)", isClosed && gate.reason != nil ? .yellow : .plain)
  }

  private func addCounts(_ batch: BatchState, _ page: inout FactPage) {
    if batch.itemsTotal > 0 {
      let failed = batch.itemsFailed > 0 ? ", \(Wording.count(batch.itemsFailed)) failed" : ""
      page.add(
        "items",
        "\(Wording.count(batch.itemsDone)) of \(Wording.count(batch.itemsTotal)) done\(failed)")
    }
    if batch.retryCount > 0 {
      page.add("retries", "\(batch.retryCount) in this run, over all stages")
    }
    if found.whereabouts == .ended {
      page.add(
        "kept",
        found.keptUntil.map { "in Redis until \(when($0))" }
          ?? "until a worker has written it to the results store")
    }
  }

  private func addError(_ error: String, _ batch: BatchState, _ page: inout FactPage) {
    page.add("error", batch.isLiving ? "of the last attempt: \(error)" : error, .red)
  }

  private func addEvents(_ page: inout FactPage) {
    for (at, change) in found.events.suffix(Self.eventCount).enumerated() {
      page.add(
        at == 0 ? "events" : "", "\(Wording.clock(change.at))  \(Self.words(of: change))", .dim)
    }
  }

  private static func words(of change: StateChange) -> String {
    let details = change.details
    let stage = change.stage ?? ""
    func detail(_ name: String) -> String { details[name] ?? "" }
    return switch change.event {
    case "claimed": "\(detail("worker")) took \(stage)"
    case "stage_finished": "\(detail("from")) is done; next is \(stage)"
    case "retrying":
      "\(stage) failed: \(detail("error")); again at \(Wording.clock(details["due"]))"
    case "snoozed":
      "\(stage) was put off until \(Wording.clock(details["due"])): \(detail("reason"))"
    case "due": "the wait before \(stage) is over"
    case "crashed": "\(detail("worker")) died while it ran \(stage) (crash \(detail("crashes")))"
    case "handed_back": "\(stage) was handed back by a worker that stopped"
    case "requeued": "Redis came back: \(stage) begins again"
    case "retried": "somebody had it retried, from \(stage)"
    case "ended": "ended: \(detail("status").replacing("_", with: " "))"
    case "repaired", "broken": "its record was mended: \(detail("error"))"
    default: change.event.replacing("_", with: " ")
    }
  }
}
