internal import Queue

/// An operation's explanation in words.
struct OperationWords {
  let found: OperationExplanation

  private func when(_ rfc3339: String?) -> String? {
    ExplanationWords.when(rfc3339, now: found.takenAt)
  }

  var page: FactPage {
    var page = FactPage()
    let progress = found.progress
    page.add("where", state, .bold)
    page.add("batches", counts)
    if progress.itemsTotal > 0 {
      let failed = progress.itemsFailed > 0 ? ", \(Wording.count(progress.itemsFailed)) failed" : ""
      page.add(
        "items",
        "\(Wording.count(progress.itemsDone)) of \(Wording.count(progress.itemsTotal)) done\(failed)"
      )
    }
    if found.missing > 0 {
      let enqueued =
        found.enqueued > 0
        ? "; \(Wording.count(found.enqueued, "entry waits", "entries wait")) to be admitted, whose nobody has looked at"
        : ""
      page.add(
        "missing",
        "\(Wording.count(found.missing)) of the \(Wording.count(progress.size ?? 0)) batches of its declared size were never admitted\(enqueued)",
        .yellow)
    }
    for rejection in found.rejections.prefix(3) {
      let position = rejection.position.map { "\($0): " } ?? ""
      page.add("rejected", "\(position)\(rejection.reason)", .red)
    }
    for what in found.paused { page.add("paused", what, .yellow) }
    if found.workers == 0, !progress.isFinished {
      page.add("workers", "no worker is running", .red)
    }
    for (at, one) in found.inTheWay.enumerated() {
      page.add(
        at == 0 ? "waits for" : "",
        "\(one.batch.id): \(ExplanationWords.state(of: one, now: found.takenAt))")
    }
    for (at, batch) in found.failed.enumerated() {
      page.add(
        at == 0 ? "failed" : "", "\(batch.id) \(batch.stage ?? ""): \(batch.error ?? "")", .red)
    }
    return page
  }

  private var state: String {
    let progress = found.progress
    let status = progress.status.replacing("_", with: " ")
    if progress.isFinished { return "\(status), \(when(progress.finishedAt) ?? "")" }
    let since = when(progress.startedAt).map { ", began at \($0)" } ?? ""
    let changed = when(progress.updatedAt).map { ", last change at \($0)" } ?? ""
    return "\(status), \(progress.percent)%\(since)\(changed)"
  }

  private var counts: String {
    let progress = found.progress
    let parts = [
      (progress.pending, "waiting"), (progress.processing, "processing"),
      (progress.retrying, "in backoff"), (progress.completed, "completed"),
      (progress.completedWithErrors, "completed with errors"), (progress.failed, "failed"),
      (progress.cancelled, "cancelled"),
    ].filter { $0.0 > 0 }.map { "\(Wording.count($0.0)) \($0.1)" }
    return "\(Wording.count(progress.total)): \(parts.joined(separator: ", "))"
  }
}
