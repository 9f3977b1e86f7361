/// The fields of an envelope, one function each.
extension Envelope {
  static func identifier(_ value: JSON, _ field: String) throws -> String {
    let text: String
    switch value {
    case .string(let string): text = string
    case .integer(let integer): text = String(integer)
    default: throw wrongType(field, value, "a string or an integer")
    }
    guard Identifier.isValid(text) else {
      throw EnvelopeError(field: field, reason: "must be \(Identifier.rule)")
    }
    return text
  }

  static func items(_ value: JSON, limits: Limits) throws -> [Item] {
    guard case .array(let elements) = value else { throw wrongType("items", value, "an array") }
    guard elements.count <= limits.itemCount else {
      throw EnvelopeError(
        field: "items",
        reason:
          "\(elements.count) items, the limit is \(limits.itemCount) (limits.item_count): split it")
    }
    var seen: [String: Int] = [:]
    return try elements.enumerated().map { index, element in
      let item = try item(element, "items[\(index)]", limits: limits)
      if let first = seen.updateValue(index, forKey: item.id) {
        throw EnvelopeError(
          field: "items[\(index)]",
          reason: "\"\(item.id)\" stands at items[\(first)] already: leave one out")
      }
      return item
    }
  }

  private static func item(_ element: JSON, _ field: String, limits: Limits) throws -> Item {
    let id: String
    switch element {
    case .string(let text): id = text
    case .integer(let integer): id = String(integer)
    case .object(let members):
      switch members["id"] {
      case .string(let text): id = text
      case .integer(let integer): id = String(integer)
      case nil: throw EnvelopeError(field: "\(field).id", reason: "missing")
      case .some(let other): throw wrongType("\(field).id", other, "a string or an integer")
      }
    default:
      throw wrongType(field, element, "a string, an integer or an object with an id")
    }
    guard (1...limits.itemIDBytes).contains(id.utf8.count) else {
      throw EnvelopeError(
        field: field,
        reason: "its id must have 1 to \(limits.itemIDBytes) bytes (limits.item_id_bytes)")
    }
    return Item(id: id, value: element)
  }

  static func isHigh(_ value: JSON) throws -> Bool {
    switch value {
    case .string("high"): return true
    case .string("normal"): return false
    default: throw EnvelopeError(field: "priority", reason: "must be \"high\" or \"normal\"")
    }
  }

  static func delay(_ value: JSON, limits: Limits) throws -> Due {
    let seconds: Double
    switch value {
    case .integer(let integer): seconds = Double(integer)
    case .number(let number): seconds = number
    default: throw wrongType("delay", value, "a number of seconds")
    }
    guard seconds >= 0, seconds <= Double(limits.delaySeconds) else {
      throw EnvelopeError(
        field: "delay",
        reason: "must be 0 to \(limits.delaySeconds) seconds (limits.delay_seconds)")
    }
    return .after(milliseconds: Int((seconds * 1000).rounded()))
  }

  static func moment(_ value: JSON) throws -> Due {
    guard case .string(let text) = value, let moment = Timestamp(rfc3339: text) else {
      throw EnvelopeError(
        field: "at", reason: "must be RFC 3339 with a zone, like \"2026-01-31T12:00:00Z\"")
    }
    return .at(moment)
  }

  static func size(_ value: JSON) throws -> Int {
    guard case .integer(let size) = value, (1...1_000_000_000).contains(size) else {
      throw EnvelopeError(
        field: "size", reason: "must be the number of batches that the operation will have")
    }
    return Int(size)
  }

  static func flag(_ value: JSON, _ field: String) throws -> Bool {
    guard case .bool(let flag) = value else { throw wrongType(field, value, "true or false") }
    return flag
  }

  private static func wrongType(_ field: String, _ value: JSON, _ wanted: String) -> EnvelopeError {
    EnvelopeError(field: field, reason: "must be \(wanted), not \(value.typeName)")
  }
}
