import Pipeline
import Testing

@testable import Queue
@testable import batchd

/// Values as Redis would give them.
enum Samples {
  /// Redis's clock in all samples.
  static let now = 1_790_000_000_000

  static func progress(_ operation: String, done: Int, status: String = "processing")
    -> OperationProgress
  {
    OperationProgress(
      operation,
      [
        "status": status, "total": "1", "processing": status == "processing" ? "1" : "0",
        "completed": status == "completed" ? "1" : "0", "items_total": "20",
        "items_done": "\(done)", "percent": "\(done * 5)",
      ])!
  }

  /// An account with one batch running and one waiting, of 10 items each.
  static func account(_ name: String, done: Int = 4) -> AccountState {
    var account = AccountState(account: name)
    (account.total, account.processing, account.pending) = (2, 1, 1)
    (account.itemsTotal, account.itemsDone) = (20, done)
    (account.batch, account.number, account.stage) = ("\(name)-1", 1, "extraction")
    account.isRunning = true
    return account
  }

  static func detail(_ accounts: [AccountState]) -> OperationDetail {
    var detail = OperationDetail()
    detail.accounts = accounts
    detail.accountCount = accounts.count
    detail.seen = accounts.reduce(0) { $0 + $1.total }
    for stage in [Stage.setup, .extraction, .persistence] {
      var count = StageCount(stage: stage)
      count.total = detail.seen
      switch stage {
      case .setup: (count.passed, count.waiting) = (accounts.count, accounts.count)
      case .extraction: (count.running, count.toCome) = (accounts.count, accounts.count)
      default: count.toCome = detail.seen
      }
      detail.stages.append(count)
    }
    return detail
  }

  /// `operations` of two batches each, half done, and `batches` without an account under way, all in the first.
  static func update(operations: Int, batches: Int, accounts: [AccountState] = [])
    -> Watcher.Update
  {
    var update = Watcher.Update()
    update.conditions.takenAt = now
    update.conditions.workers = 1
    update.operations = (0..<operations).map { at in
      OperationProgress(
        "op\(at)",
        [
          "status": "processing", "total": "2", "pending": "1", "processing": "1",
          "items_total": "20", "items_done": "9", "items_failed": "1", "percent": "50",
        ])!
    }
    var detail = detail(accounts)
    detail.underWay = (0..<batches).map { at in
      BatchState(
        "b\(at)",
        [
          "status": "processing", "operation": "op0", "stage": "extraction", "attempt": "1",
          "items_total": "10", "items_done": "4", "items_failed": "1",
        ])!
    }
    update.details = ["op0": detail]
    return update
  }
}
