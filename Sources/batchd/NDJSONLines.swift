internal import Foundation
internal import Pipeline

/// The objects of a file with one JSON object a line, read as they are asked for: an export may be larger than memory.
struct NDJSONLines {
  /// One line that is not empty.
  struct Line {
    /// From 1.
    let number: Int
    /// Nil for what is no JSON object.
    let object: [String: JSON]?
  }

  /// What MongoDB's own limit of a document leaves room for.
  private static let byteLimit = 32 << 20
  private static let chunkBytes = 1 << 20

  private let file: FileHandle
  private let name: String
  private var rest = Data()
  private var number = 0
  private var isAtEnd = false

  /// - Parameter path: `-` is standard input.
  init(_ path: String) throws(CommandError) {
    name = path == "-" ? "standard input" : path
    guard let file = path == "-" ? .standardInput : FileHandle(forReadingAtPath: path) else {
      throw CommandError(.noInput, "\(path): \(String(cString: strerror(errno)))")
    }
    self.file = file
  }

  /// The next line; nil at the end.
  mutating func next() throws(CommandError) -> Line? {
    while let line = try nextLine() {
      number += 1
      let bytes = number == 1 && line.starts(with: [0xEF, 0xBB, 0xBF]) ? line.dropFirst(3) : line
      guard !bytes.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) else { continue }
      if number == 1, bytes.first == UInt8(ascii: "[") {
        throw CommandError(
          .data,
          "\(name) holds one JSON array: export without --jsonArray, one object a line, or use jq -c '.[]' on it"
        )
      }
      return Line(number: number, object: (try? JSON(parsing: bytes))?.object)
    }
    return nil
  }

  private mutating func nextLine() throws(CommandError) -> Data? {
    var searched = rest.startIndex
    while true {
      if let end = rest[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { rest = rest[(end + 1)...] }
        return rest[..<end]
      }
      guard !isAtEnd else {
        defer { rest = Data() }
        return rest.isEmpty ? nil : rest
      }
      guard rest.count <= Self.byteLimit else {
        throw CommandError(
          .data, "line \(number + 1) of \(name) is over \(Self.byteLimit >> 20) MiB: is it NDJSON?")
      }
      searched = rest.endIndex
      do {
        let chunk = try file.read(upToCount: Self.chunkBytes) ?? Data()
        isAtEnd = chunk.isEmpty
        // Indices begin at 0 again, and what was handed out goes.
        searched = rest.count
        rest = Data(rest) + chunk
      } catch {
        throw CommandError(.noInput, "\(name) cannot be read: is it a file, and may you read it?")
      }
    }
  }
}

extension JSON {
  /// Without the types of MongoDB's extended JSON: `{"$oid":"…"}` is a text, `{"$numberLong":"7"}` a number.
  var withoutMongoTypes: JSON {
    switch self {
    case .array(let elements): return .array(elements.map(\.withoutMongoTypes))
    case .object(let members):
      guard members.count == 1, let (name, value) = members.first, name.hasPrefix("$") else {
        return .object(members.mapValues(\.withoutMongoTypes))
      }
      switch (name, value) {
      case ("$numberLong", .string(let text)), ("$numberInt", .string(let text)):
        return Int64(text).map { .integer($0) } ?? value
      case ("$numberDouble", .string(let text)): return Double(text).map { .number($0) } ?? value
      case ("$oid", _), ("$numberDecimal", _): return value
      case ("$date", _): return value.withoutMongoTypes
      default: return self
      }
    default: return self
    }
  }
}
