/// One area that `batchd doctor` looks at: what is there, what is wrong with it, what it cannot know.
public struct Area: Sendable {
  public let name: String
  /// What is there, in a few words.
  public var summary: String
  /// What is wrong.
  public var findings: [Finding]
  /// What could not be checked, or is good to know; nothing of it is wrong.
  public var notes: [String]

  public init(
    _ name: String, _ summary: String = "", findings: [Finding] = [], notes: [String] = []
  ) {
    self.name = name
    self.summary = summary
    self.findings = findings
    self.notes = notes
  }
}
