import Testing

@testable import Queue
@testable import batchd

/// Values as Redis would give them.
enum Samples {
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

  /// `operations` of two batches each, half done, and `batches` under way, all in the first.
  static func update(operations: Int, batches: Int) -> Watcher.Update {
    var update = Watcher.Update()
    update.operations = (0..<operations).map { at in
      OperationProgress(
        "op\(at)",
        [
          "status": "processing", "total": "2", "pending": "1", "processing": "1",
          "items_total": "20", "items_done": "9", "items_failed": "1", "percent": "50",
        ])!
    }
    update.underWay = (0..<batches).map { at in
      BatchState(
        "b\(at)",
        [
          "status": "processing", "operation": "op0", "account": "acme", "stage": "extraction",
          "attempt": "1", "items_total": "10", "items_done": "4", "items_failed": "1",
        ])!
    }
    return update
  }
}
