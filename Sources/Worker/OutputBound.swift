public import Pipeline

/// The bound on one output, `output_bytes`: what is too large to keep must not pass for done.
public struct OutputBound: Sendable {
  private let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  /// An output over the limit fails its item.
  public func bounded(_ result: ItemResult) -> ItemResult {
    guard case .done(let output) = result, let mistake = mistake(output) else { return result }
    return .failed("its output \(mistake)")
  }

  /// The stage's own output.
  /// - Throws: `StageError.permanent` when it is over the limit.
  public func bounded(_ output: JSON?) throws(StageError) -> JSON? {
    guard let output, let mistake = mistake(output) else { return output }
    throw .permanent("the stage's output \(mistake)")
  }

  private func mistake(_ output: JSON) -> String? {
    let count = output.bytes.count
    return count > bytes ? "has \(count) bytes, the limit is \(bytes) (output_bytes)" : nil
  }
}
