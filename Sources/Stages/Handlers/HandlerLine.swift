public import Pipeline

/// What one line of a handler outside of this program says (DESIGN.md section 7).
public enum HandlerLine: Sendable, Equatable {
  /// `{"item":"A1","output":…}`, `{"item":"A1"}` (done, without an output) or
  /// `{"item":"A1","error":"…","retry":false}` (failed for good).
  case item(String, ItemResult)
  /// `{"item":"A1","error":"…"}`, perhaps with `"retry":true`: another attempt may help.
  case retry(String, error: String)
  /// `{"output":…}`: the stage's own output; of an item that is handed over alone, the item's.
  case output(JSON)
}

extension HandlerLine {
  /// Why a line is none.
  struct Failure: Error {
    let text: String
  }

  private static let fields = ["item", "output", "error", "retry"]

  init(_ json: JSON) throws(Failure) {
    guard let members = json.object else {
      throw Failure(text: "is \(json.typeName), not an object")
    }
    if let other = members.keys.filter({ !Self.fields.contains($0) }).min() {
      throw Failure(
        text: "has a field \"\(other.printable(40))\"; there are item, output, error and retry")
    }
    let item = try Self.id(members["item"])
    if let error = members["error"] {
      guard let error = error.string else { throw Failure(text: "has an error that is no string") }
      guard let item else { throw Failure(text: "has an error, but names no item") }
      guard members["output"] == nil else { throw Failure(text: "has an output and an error") }
      self =
        try Self.mayRetry(members) ? .retry(item, error: error) : .item(item, .failed(error))
      return
    }
    guard members["retry"] == nil else { throw Failure(text: "has a retry, but no error") }
    if let item {
      self = .item(item, .done(members["output"] ?? .null))
    } else if let output = members["output"] {
      self = .output(output)
    } else {
      throw Failure(text: "has neither an item nor an output")
    }
  }

  /// Why a stage is tried again for items that failed, by item id.
  public static func summary(ofRetries open: [String: String]) -> String {
    guard let first = open.min(by: { $0.key < $1.key }) else { return "" }
    return "\(open.count) item\(open.count == 1 ? "" : "s") failed, \(first.key): \(first.value)"
  }

  /// Items may be enqueued as integers, so they come back as such.
  private static func id(_ value: JSON?) throws(Failure) -> String? {
    switch value {
    case nil: return nil
    case .string(let id): return id
    case .integer(let id): return String(id)
    default: throw Failure(text: "has an item that is neither a string nor an integer")
    }
  }

  private static func mayRetry(_ members: [String: JSON]) throws(Failure) -> Bool {
    switch members["retry"] {
    case nil: return true
    case .bool(let value): return value
    default: throw Failure(text: "has a retry that is neither true nor false")
    }
  }
}

extension StringProtocol {
  /// At most `count` characters on one line, for a message: control characters, such as a terminal's escapes, are
  /// shown as dots.
  func printable(_ count: Int) -> String {
    // A character can be built of any number of scalars.
    let scalars = unicodeScalars.prefix(count + 1).map {
      $0.properties.generalCategory == .control || $0.properties.generalCategory == .format
        ? "·" : Character($0)
    }
    return String(scalars.prefix(count)) + (scalars.count > count ? "…" : "")
  }
}
