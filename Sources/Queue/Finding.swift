/// Something that is wrong, as `batchd doctor` shows it.
public struct Finding: Sendable, Hashable, Encodable {
  /// The key of Redis; for what is no key a word: `redis`, `clock`, `rights`, `functions`, `store`, `accounts.NAME`, ….
  public let key: String
  /// The entry of the key that is meant; empty for the key itself.
  public let member: String
  public let problem: String
  /// What mends it: done where `isRepaired`, otherwise what `--repair` or a person would do.
  public let remedy: String
  public let isRepaired: Bool

  public init(
    _ key: String, member: String = "", _ problem: String, remedy: String, isRepaired: Bool = false
  ) {
    self.key = key
    self.member = member
    self.problem = problem
    self.remedy = remedy
    self.isRepaired = isRepaired
  }
}
