internal import Foundation
internal import Glibc

/// A process that the benchmark runs beside itself, and that ends with it, however that ends.
final class BenchProcess {
  /// Where its standard output and standard error go.
  let output: String
  private let process = Process()
  private let lifeline = Pipe()

  /// - Parameter command: the program, searched in PATH unless it holds a slash, and its arguments.
  init(_ command: [String], output: String) throws {
    self.output = output
    _ = FileManager.default.createFile(atPath: output, contents: nil)
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    // exec keeps the shell's pid; the end of the pipe without a line on it means that the benchmark is gone.
    process.arguments = [
      "-c",
      #"exec 3<&0; (read line <&3 || kill -9 $$) >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null"#,
    ]
    process.arguments? += command
    process.standardInput = lifeline
    process.standardOutput = file
    process.standardError = file
    try process.run()
  }

  deinit { end(SIGKILL) }

  var isRunning: Bool { process.isRunning }
  var pid: pid_t { process.processIdentifier }

  /// What it has written so far, a line each.
  var lines: [Substring] {
    ((try? String(contentsOfFile: output, encoding: .utf8)) ?? "").split(separator: "\n")
  }

  /// What a `BenchHandler` printed: lines `WHAT NAME NANOSECONDS`.
  func stamps(_ what: String) -> [(name: String, nanoseconds: Int)] {
    lines.compactMap { line in
      let words = line.split(separator: " ")
      guard words.count >= 3, words[0] == what, let time = Int(words[2]) else { return nil }
      return (String(words[1]), time)
    }
  }

  /// Sends `signal` and waits for the end.
  func stop(_ signal: Int32 = SIGTERM) async throws {
    end(signal)
    while process.isRunning { try await Task.sleep(for: .milliseconds(5)) }
  }

  private func end(_ signal: Int32) {
    guard process.isRunning else { return }
    kill(process.processIdentifier, signal)
    try? lifeline.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
  }

  /// Memory of its own and of files that is in RAM now, in bytes (VmRSS of proc(5)).
  var residentBytes: Int { status("VmRSS:") * 1024 }
  /// The most that it ever was (VmHWM).
  var peakBytes: Int { status("VmHWM:") * 1024 }

  /// Processor time that it has used, in nanoseconds, in steps of ten milliseconds (stat of proc(5)).
  var cpuNanoseconds: Int {
    let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    // After the name, which may hold anything: the 14th and 15th field of all.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
      return 0
    }
    return (user + system) * (1_000_000_000 / sysconf(Int32(_SC_CLK_TCK)))
  }

  private func status(_ field: String) -> Int {
    Self.status(field, of: pid).flatMap { Int($0) } ?? 0
  }

  /// The first word of a field (`VmRSS:`) of status of proc(5).
  static func status(_ field: String, of pid: pid_t) -> Substring? {
    let text = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix(field) }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first
  }
}
