public import Testing

/// Looks again and again until the condition holds, and records an issue if it does not in time.
/// A condition that throws does not hold yet. Returns whether it held.
@discardableResult
public func eventually(
  within limit: Duration = .seconds(10), _ what: String = "the condition",
  sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async -> Bool {
  let limit = limit * Pace.slowness
  let clock = ContinuousClock()
  let start = clock.now
  var last: (any Error)?
  repeat {
    do {
      if try await condition() { return true }
      last = nil
    } catch { last = error }
    try? await Task.sleep(for: .milliseconds(10))
  } while clock.now - start < limit && !Task.isCancelled
  Issue.record(
    "not within \(limit): \(what)\(last.map { "; the last try threw \($0)" } ?? "")",
    sourceLocation: sourceLocation)
  return false
}
