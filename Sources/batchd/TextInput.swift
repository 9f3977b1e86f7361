internal import Foundation

/// What a person hands to a command: a file or standard input, pipes included.
enum TextInput {
  static let byteLimit = 256 << 20

  /// - Parameter path: `-` is standard input.
  static func bytes(of path: String) throws(CommandError) -> [UInt8] {
    let name = path == "-" ? "standard input" : path
    let opened = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path)
    guard let opened else {
      throw CommandError(
        .noInput,
        "cannot read \(path): \(String(cString: strerror(errno))); name a file that this user may read, or - for standard input"
      )
    }
    let data: Data?
    do {
      data = try opened.read(upToCount: byteLimit + 1)
    } catch {
      throw CommandError(
        .noInput,
        "cannot read \(name): \(error.localizedDescription); name a file, or - for standard input")
    }
    guard data?.count ?? 0 <= byteLimit else {
      throw CommandError(.data, "\(name) is over \(byteLimit >> 20) MiB; split it")
    }
    return [UInt8](data ?? Data())
  }

  /// The lines without the white space around them; empty ones count for nothing.
  static func lines(of path: String) throws(CommandError) -> [String] {
    guard let text = String(validating: try bytes(of: path), as: UTF8.self) else {
      throw CommandError(.data, "\(path) is not text in UTF-8; convert it: iconv -t UTF-8")
    }
    return text.split(whereSeparator: \.isNewline)
      .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
  }
}
