/// One of the six stages, in the order in which a batch passes them.
public enum Stage: String, CaseIterable, Sendable, Hashable, Codable, Comparable {
  case setup, extraction, annotation, validation, metadata, persistence

  /// The position in the order, 0 to 5.
  public var position: Int { Self.allCases.firstIndex(of: self)! }

  public static func < (left: Stage, right: Stage) -> Bool { left.position < right.position }
}
