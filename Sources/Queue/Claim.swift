public import Pipeline
internal import Redis

/// A batch as a claim hands it out: everything that a handler needs but the outputs of earlier stages.
///
/// A class, for it passes through many hands: a copy of its parts would count ten references each time.
public final class Claim: Sendable {
  public let lease: Lease
  public let list: StageList
  public let attempt: Int
  public let operation: String
  public let account: String?
  public let number: Int
  /// The envelope as it was enqueued.
  public let input: [UInt8]
  public let cursor: [UInt8]
  /// A suspect: its worker runs no other one beside it.
  public let isAlone: Bool
  /// Item ids done in this stage, and failed for good in any.
  public let done: Set<String>
  public let failed: Set<String>

  private init(
    lease: Lease, list: StageList, attempt: Int, operation: String, account: String?, number: Int,
    input: [UInt8], cursor: [UInt8], isAlone: Bool, done: Set<String>, failed: Set<String>
  ) {
    self.lease = lease
    self.list = list
    self.attempt = attempt
    self.operation = operation
    self.account = account
    self.number = number
    self.input = input
    self.cursor = cursor
    self.isAlone = isAlone
    self.done = done
    self.failed = failed
  }

  /// The stage job, with the items that are still to do.
  /// - Parameter work: of the envelope, the same for all the stages of a lease.
  public func job(of work: Envelope.Work) -> StageJob {
    let open =
      done.isEmpty && failed.isEmpty
      ? work.items ?? []
      : (work.items ?? []).filter { !done.contains($0.id) && !failed.contains($0.id) }
    return StageJob(
      batch: lease.batch, operation: operation, account: account, pipeline: list.pipeline,
      stage: list.stage, run: lease.run, attempt: attempt, number: number, fence: lease.fence,
      items: open, itemCount: work.items?.count, payload: work.payload,
      cursor: cursor.isEmpty ? nil : try? JSON(parsing: cursor))
  }

  /// The same batch in the stage into which its lease went on.
  func next(
    _ stage: Stage, done: Set<String>, failed: Set<String>, cursor: [UInt8]
  ) -> Claim {
    Claim(
      lease: Lease(batch: lease.batch, run: lease.run, stage: stage, fence: lease.fence),
      list: StageList(pipeline: list.pipeline, stage: stage), attempt: 1, operation: operation,
      account: account, number: number, input: input, cursor: cursor, isAlone: false, done: done,
      failed: failed)
  }
}

extension Claim {
  /// Reads the batches of batchd_claim's reply.
  static func all(_ reply: ArraySlice<RedisValue>, list: StageList) throws -> [Claim] {
    var claims: [Claim] = []
    var rest = reply
    while let first = rest.popFirst() {
      guard let text = first.text else {
        claims.append(try Claim(reply: first, list: list))
        continue
      }
      claims.append(try Claim(plain: text, input: rest.popFirst()?.bytes, list: list))
    }
    return claims
  }

  /// A plain batch: 'ID RUN FENCE OPERATION'.
  private convenience init(plain text: String, input: [UInt8]?, list: StageList) throws {
    let parts = text.split(separator: " ")
    guard parts.count == 4, let run = Int(parts[1]), let fence = Fence(parts[2]), let input else {
      throw QueueError.unreadable("batchd_claim", .status(text))
    }
    self.init(
      lease: Lease(batch: String(parts[0]), run: run, stage: list.stage, fence: fence), list: list,
      attempt: 1, operation: String(parts[3]), account: nil, number: 0, input: input, cursor: [],
      isAlone: false, done: [], failed: [])
  }

  private convenience init(reply value: RedisValue, list: StageList) throws {
    guard let parts = value.array, parts.count == 13, let id = parts[0].text,
      let run = parts[1].text.flatMap({ Int($0) }),
      let attempt = parts[2].text.flatMap({ Int($0) }),
      let fence = parts[3].text.flatMap({ Fence($0) }), let operation = parts[4].text,
      let account = parts[5].text, let number = parts[6].text.flatMap({ Int($0) }),
      let input = parts[8].bytes, let cursor = parts[9].bytes
    else { throw QueueError.unreadable("batchd_claim", value) }
    self.init(
      lease: Lease(batch: id, run: run, stage: list.stage, fence: fence), list: list,
      attempt: attempt, operation: operation, account: account.isEmpty ? nil : account,
      number: number, input: input, cursor: cursor, isAlone: parts[10].text == "1",
      done: parts[11].textSet, failed: parts[12].textSet)
  }
}

extension RedisValue {
  /// The texts of an array, as a set.
  var textSet: Set<String> {
    guard let array, !array.isEmpty else { return [] }
    return Set(array.compactMap(\.text))
  }
}
