/// A list of batch ids (1...3) as Redis holds it, stale ids included. Packed two bits an id, because an
/// exploration keeps hundreds of thousands of states. The front (Redis's right end) is popped first.
struct IDList: Hashable {
  private(set) var bits: UInt32 = 0

  var isEmpty: Bool { bits == 0 }

  /// The ids, front first.
  var ids: [Int] {
    var rest = self
    var ids: [Int] = []
    while let id = rest.popFront() { ids.append(id) }
    return ids
  }

  func contains(_ id: Int) -> Bool {
    var rest = bits
    while rest != 0 {
      if rest & 3 == UInt32(id) { return true }
      rest >>= 2
    }
    return false
  }

  mutating func pushFront(_ id: Int) {
    precondition(bits >> 30 == 0, "the exploration's bounds keep lists under 16 ids")
    bits = bits << 2 | UInt32(id)
  }

  mutating func pushBack(_ id: Int) {
    precondition(bits >> 30 == 0, "the exploration's bounds keep lists under 16 ids")
    bits |= UInt32(id) << count2
  }

  mutating func popFront() -> Int? {
    guard bits != 0 else { return nil }
    defer { bits >>= 2 }
    return Int(bits & 3)
  }

  mutating func popBack() -> Int? {
    guard bits != 0 else { return nil }
    let shift = count2 - 2
    let id = bits >> shift
    bits &= (1 << shift) - 1
    return Int(id)
  }

  /// Removes the occurrence nearest to the front (LREM with count -1).
  mutating func removeFirst(_ id: Int) {
    var shift: UInt32 = 0
    while shift < count2 {
      if bits >> shift & 3 == UInt32(id) {
        let nearer = bits & ((1 << shift) - 1)
        bits = ((bits >> (shift + 2)) << shift) | nearer
        return
      }
      shift += 2
    }
  }

  /// Two bits for each id in the list.
  private var count2: UInt32 {
    let used = UInt32(32 - bits.leadingZeroBitCount)
    return used + used % 2
  }
}
