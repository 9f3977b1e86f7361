/// One entry of `batchd:enqueue`, read and checked: what a person or a program asks for.
public struct Envelope: Sendable, Hashable {
  /// When the batch may start.
  public enum Due: Sendable, Hashable {
    case now
    /// Milliseconds after its admission.
    case after(milliseconds: Int)
    case at(Timestamp)
  }

  /// The id of the batch; nil when only `operation` was given: the admitting worker makes one.
  public var id: String?
  /// The operation; the batch's own id when it has none.
  public var operation: String?
  public var pipeline: String?
  public var account: String?
  /// nil when the envelope had no `items`.
  public var items: [Item]?
  public var payload: JSON?
  /// To the front of lane and lists.
  public var isHighPriority = false
  public var due = Due.now
  /// The number of batches that the operation will have.
  public var size: Int?
  /// Runs an ended batch of the same id from the start again.
  public var isRerun = false
}

/// Why an envelope was rejected.
public struct EnvelopeError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The field at fault (`items[3]`), or `entry` for the whole.
  public let field: String
  public let reason: String
  /// The batch's id when it could be read.
  public var id: String?

  public init(field: String, reason: String, id: String? = nil) {
    self.field = field
    self.reason = reason
    self.id = id
  }

  public var description: String { "\(field): \(reason)" }
}

extension Envelope {
  /// Reads and checks one entry.
  /// - Throws: `EnvelopeError` that names the field.
  public init(parsing bytes: [UInt8], limits: Limits = Limits()) throws {
    try Self.checkDepth(bytes, limit: limits.jsonDepth)
    let json: JSON
    do {
      json = try JSON(parsing: bytes)
    } catch {
      throw EnvelopeError(field: "entry", reason: "not JSON in UTF-8: try it with jq")
    }
    guard case .object(let members) = json else {
      throw EnvelopeError(field: "entry", reason: "must be a JSON object, not \(json.typeName)")
    }
    let id = members["id"].flatMap { try? Self.identifier($0, "id") }
    do {
      try self.init(members: members, limits: limits)
    } catch var error as EnvelopeError {
      error.id = id
      throw error
    }
  }

  /// What a handler needs of an envelope.
  public typealias Work = (items: [Item]?, payload: JSON?)

  /// Reads it from an envelope that was checked at its admission.
  /// - Throws: `EnvelopeError` when it cannot be read any more.
  public static func work(parsing bytes: [UInt8]) throws -> Work {
    guard let json = try? JSON(parsing: bytes), case .object(let members) = json else {
      throw EnvelopeError(field: "entry", reason: "not a JSON object in UTF-8: try it with jq")
    }
    return (try members["items"].map { try items($0, limits: .none) }, members["payload"])
  }

  private init(members: [String: JSON], limits: Limits) throws {
    for (field, value) in members.sorted(by: { $0.key < $1.key }) {
      switch field {
      case "id": id = try Self.identifier(value, field)
      case "operation": operation = try Self.identifier(value, field)
      case "pipeline": pipeline = try Self.identifier(value, field)
      case "account": account = try Self.identifier(value, field)
      case "items": items = try Self.items(value, limits: limits)
      case "payload": payload = value
      case "priority": isHighPriority = try Self.isHigh(value)
      case "delay": due = try Self.delay(value, limits: limits)
      case "at": due = try Self.moment(value)
      case "size": size = try Self.size(value)
      case "rerun": isRerun = try Self.flag(value, field)
      default:
        throw EnvelopeError(
          field: field.isEmpty ? "\"\"" : String(field.prefix(64)),
          reason: "unknown field; \(Self.known)")
      }
    }
    if id == nil && operation == nil {
      throw EnvelopeError(field: "id", reason: "missing; an id or an operation is required")
    }
    if members["delay"] != nil && members["at"] != nil {
      throw EnvelopeError(field: "at", reason: "give either at or delay, not both")
    }
    if isRerun && id == nil {
      throw EnvelopeError(field: "rerun", reason: "needs the id of the batch to run again")
    }
  }

  private static let known =
    "known: id, operation, pipeline, account, items, payload, priority, delay, at, size, rerun"

  /// Levels of nesting, counted before anything is built from a hostile text.
  private static func checkDepth(_ bytes: [UInt8], limit: Int) throws {
    var depth = 0
    var inString = false
    var escaped = false
    for byte in bytes {
      if inString {
        if escaped {
          escaped = false
        } else if byte == UInt8(ascii: "\\") {
          escaped = true
        } else if byte == UInt8(ascii: "\"") {
          inString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): inString = true
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        if depth > limit {
          throw EnvelopeError(
            field: "entry",
            reason: "nested deeper than \(limit) levels: make it flatter (limits.json_depth)")
        }
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      default: break
      }
    }
  }
}
