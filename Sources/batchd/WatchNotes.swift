internal import Queue

/// What `watch` says once, above its bars: errors and whatever keeps work from going on.
extension WatchRendering {
  static func notes(_ entry: Watcher.Change) -> [StyledLine] {
    let change = entry.change
    let details = change.details
    let batch = change.batch ?? ""
    let place = [batch, change.stage].compactMap { $0 }.joined(separator: " ")
    let time = StyledLine(Wording.clock(change.at) + "  ", .dim)
    func note(_ text: String, _ style: StyledLine.Style) -> [StyledLine] {
      [time + StyledLine(text, style)]
    }
    switch change.event {
    case "retrying":
      return note(
        "\(place): \(details["error"] ?? "failed"); again at \(Wording.clock(details["due"]))",
        .yellow)
    case "ended" where details["status"] != "completed":
      return ended(entry, place, time)
    case "crashed":
      return note(
        "\(place): its worker \(details["worker"] ?? "") died; it runs again, alone", .yellow)
    case "broken":
      return note("\(batch): its record is broken: \(details["error"] ?? "")", .red)
    case "rejected": return note("\(batch) was rejected: \(details["reason"] ?? "")", .red)
    case "paused", "resumed": return note("\(change.event): \(details["what"] ?? "")", .yellow)
    // A fresh connection closes the gate for one interval: nothing that a person should look into.
    case "gate_closed" where details["reason"] != "new connection":
      return note(
        "gate \(details["gate"] ?? "") is closed until \(Wording.clock(details["until"])): \(details["reason"] ?? "")",
        .yellow)
    case "worker_lost": return note("worker \(details["worker"] ?? "") is gone", .yellow)
    case "operation_reopened": return note("\(change.operation ?? "") goes on", .plain)
    default: return []
    }
  }

  private static func ended(
    _ entry: Watcher.Change, _ place: String, _ time: StyledLine
  ) -> [StyledLine] {
    let status = entry.change.details["status"] ?? ""
    var text = "\(place): \(status.replacing("_", with: " "))"
    // A batch that went on after a retry still carries that error: only of a failed one is it the reason.
    if status == "failed", let error = entry.batch?.error { text += ": \(error)" }
    if let batch = entry.batch, !entry.itemErrors.isEmpty {
      let items = entry.itemErrors.sorted { $0.key < $1.key }.map { "\($0): \($1)" }
      let more = batch.itemsFailed > items.count ? "; …" : ""
      text +=
        "; \(batch.itemsFailed) of \(Wording.count(batch.itemsTotal, "item", "items")) failed: "
      text += items.joined(separator: "; ") + more
    }
    return [time + StyledLine(text, status == "failed" ? .red : .yellow)]
  }
}
