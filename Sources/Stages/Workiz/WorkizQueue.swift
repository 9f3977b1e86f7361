import Pipeline
import Worker

/// The order in which an attempt asks for its items, and when it stops asking.
struct WorkizQueue {
  /// Tries of one item within an attempt, not in a row: the others go first.
  static let maximumTries = 3
  /// Failures in a row after which the service counts as down and the attempt ends.
  static let maximumFailures = 5
  /// From this attempt on, an item that the service keeps failing to deliver fails alone, so that its
  /// neighbours reach the store; `batchd_retry` asks for it again.
  static let lastAttempt = 3

  private var items: [Item]
  private var position = 0
  private var tries: [String: Int] = [:]
  private var failures = 0
  /// The last message of each item that is not tried again.
  private var exhausted: [String: String] = [:]

  init(_ items: [Item]) { self.items = items }

  mutating func next() -> Item? {
    guard position < items.count else { return nil }
    defer { position += 1 }
    return items[position]
  }

  /// The service answered about an item, whatever it said.
  mutating func settled() { failures = 0 }

  /// There was no usable answer about `item`: it goes to the end, a few times.
  /// - Throws: `StageError.retry` when too many requests failed in a row.
  mutating func failed(_ item: Item, _ message: String) throws(StageError) {
    failures += 1
    tries[item.id, default: 0] += 1
    if tries[item.id]! < Self.maximumTries {
      items.append(item)
    } else {
      exhausted[item.id] = message
    }
    if failures >= Self.maximumFailures {
      throw .retry("\(failures) requests failed in a row, the last: \(message)")
    }
  }

  /// What becomes of the items without an answer, once `next` gives no more.
  /// - Throws: `StageError.retry` while another attempt may bring them, or when they are all there is.
  func leftovers(of job: StageJob) throws(StageError) -> [String: ItemResult] {
    guard let first = exhausted.min(by: { $0.key < $1.key }) else { return [:] }
    let hasOthers = (job.itemCount ?? job.items.count) > exhausted.count
    guard job.attempt >= Self.lastAttempt, hasOthers else {
      throw .retry("\(exhausted.count) items could not be fetched: \(first.value)")
    }
    return exhausted.mapValues { .failed("given up after \(job.attempt) attempts: \($0)") }
  }
}
