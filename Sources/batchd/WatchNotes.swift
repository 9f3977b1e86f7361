internal import Queue

/// What `watch` says once, above its bars: errors and whatever keeps work from going on. Times of day are UTC.
extension WatchRendering {
  static func note(_ entry: Watcher.Change) -> WatchFold.Note? {
    let change = entry.change
    let details = change.details
    let batch = change.batch ?? ""
    let place = [batch, change.stage].compactMap { $0 }.joined(separator: " ")
    func note(
      _ text: String, _ style: StyledLine.Style = .yellow, reason: String = ""
    ) -> WatchFold.Note {
      // Numbers differ where the error is the same: ports, milliseconds, ids.
      let kind = [change.event, change.stage ?? "", reason.filter { !$0.isNumber }]
      return .init(
        line: StyledLine(Wording.clock(change.at) + "  ", .dim) + StyledLine(text, style),
        kind: kind.joined(separator: "\n"))
    }
    func detail(_ name: String, or other: String = "") -> String { details[name] ?? other }
    switch change.event {
    case "retrying":
      let error = detail("error", or: "failed")
      return note("\(place): \(error); again at \(Wording.clock(details["due"]))", reason: error)
    case "ended" where details["status"] != "completed":
      let (text, reason) = ended(entry, place)
      return note(text, details["status"] == "failed" ? .red : .yellow, reason: reason)
    case "crashed":
      return note("\(place): its worker \(detail("worker")) died; it runs again, alone")
    case "broken":
      let error = detail("error")
      return note(
        "\(batch.isEmpty ? detail("key") : batch): its record is broken: \(error); \(detail("remedy"))",
        .red, reason: error)
    case "rejected":
      return note("\(batch) was rejected: \(detail("reason"))", .red, reason: detail("reason"))
    case "paused", "resumed": return note("\(change.event): \(detail("what"))")
    // A fresh connection closes the gate for one interval: nothing that a person should look into.
    case "gate_closed" where details["reason"] != "new connection":
      let reason = detail("reason")
      return note(
        "gate \(detail("gate")) is closed until \(Wording.clock(details["until"])): \(reason)",
        reason: reason)
    case "worker_lost": return note("worker \(detail("worker")) is gone")
    case "operation_reopened": return note("\(change.operation ?? "") goes on", .plain)
    default: return nil
    }
  }

  private static func ended(
    _ entry: Watcher.Change, _ place: String
  ) -> (text: String, reason: String) {
    let status = entry.change.details["status"] ?? ""
    var text = "\(place): \(status.replacing("_", with: " "))"
    var reason = status
    // A batch that went on after a retry still carries that error: only of a failed one is it the reason.
    if status == "failed", let error = entry.batch?.error {
      text += ": \(error)"
      reason += error
    }
    if let batch = entry.batch, !entry.itemErrors.isEmpty {
      let items = entry.itemErrors.sorted { $0.key < $1.key }.map { "\($0): \($1)" }
      let more = batch.itemsFailed > items.count ? "; …" : ""
      text +=
        "; \(batch.itemsFailed) of \(Wording.count(batch.itemsTotal, "item", "items")) failed: "
      text += items.joined(separator: "; ") + more
      reason += Set(entry.itemErrors.values).sorted().joined()
    }
    return (text, reason)
  }
}
