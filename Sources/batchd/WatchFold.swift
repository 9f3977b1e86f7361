/// Keeps what is said about errors readable: of the same kind one, and later how many more there were; of all kinds a few a
/// second. Nothing that is left out is left uncounted.
struct WatchFold {
  /// One thing to say.
  struct Note: Equatable {
    let line: StyledLine
    /// What it has in common with others like it: the words without names and numbers.
    let kind: String
  }

  private struct Held {
    let since: ContinuousClock.Instant
    var count = 0
    var last: StyledLine?
  }

  /// How long others of a kind are counted before it is said how many there were.
  private static let pause = Duration.seconds(5)
  /// Kinds that are shown within one `pause`; beyond, all others are one kind.
  private static let kinds = 12
  private static let others = ""

  private var held: [String: Held] = [:]
  /// The kinds in the order of their beginnings.
  private var order: [String] = []

  /// - Parameter notes: in their order.
  /// - Returns: what is to be shown now.
  mutating func lines(_ notes: [Note], at now: ContinuousClock.Instant) -> [StyledLine] {
    var lines = release { now - $0.since >= Self.pause }
    for note in notes {
      var kind = note.kind
      if held[kind] == nil, held.count >= Self.kinds { kind = Self.others }
      if held[kind] == nil {
        held[kind] = Held(since: now)
        order.append(kind)
        if kind != Self.others {
          lines.append(note.line)
          continue
        }
      }
      held[kind]!.count += 1
      held[kind]!.last = note.line
    }
    return lines
  }

  /// What is still held back, at the end.
  mutating func rest() -> [StyledLine] { release { _ in true } }

  private mutating func release(_ isOver: (Held) -> Bool) -> [StyledLine] {
    var lines: [StyledLine] = []
    for kind in order {
      guard let one = held[kind], isOver(one) else { continue }
      held[kind] = nil
      guard one.count > 0, let last = one.last else { continue }
      if one.count > 1 {
        let words = kind == Self.others ? "more of other kinds" : "more like this"
        lines.append(StyledLine("          … \(Wording.count(one.count - 1)) \(words), then", .dim))
      }
      lines.append(last)
    }
    order.removeAll { held[$0] == nil }
    return lines
  }
}
