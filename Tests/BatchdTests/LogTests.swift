import Foundation
import Glibc
import Logging
import Pipeline
import TestSupport
import Testing

@testable import batchd

@Suite struct LogTests {
  private static let hostile =
    "two\nlines \u{1B}[31m \"quoted\" back\\slash \u{85}\u{202E}\u{2028}é"

  private func line(_ format: LogFormat, _ reader: LineLogHandler.Reader) -> String {
    var handler = LineLogHandler(format, for: reader)
    handler.metadata = ["worker": "w1", "error": "of the logger"]
    let event = LogEvent(
      level: .warning, message: "\(Self.hostile)",
      metadata: [
        "error": "\(Self.hostile)", "count": .stringConvertible(3), "level": "own", "empty": "",
        "list": .array(["a", .dictionary(["b": "c"])]),
      ], source: "", file: "", function: "", line: 1)
    return handler.line(event, at: Timestamp(milliseconds: 1_000))
  }

  @Test func aLineOfTextIsOneLine() {
    let shown = #"two\nlines \u001b[31m \"quoted\" back\\slash \u0085\u202e\u2028é"#
    let fields =
      #"count=3 empty="" error="\#(shown)" level=own list="["a", ["b": "c"]]" worker=w1"#
      .replacing(#"["a", ["b": "c"]]"#, with: #"[\"a\", [\"b\": \"c\"]]"#)
    #expect(line(.text, .journal) == "<4>\(shown) \(fields)")
    #expect(line(.text, .file) == "1970-01-01T00:00:01.000Z warning \(shown) \(fields)")
    #expect(line(.text, .terminal(hasColor: false)) == "00:00:01 warning \(shown) \(fields)")
    let colored = line(.text, .terminal(hasColor: true))
    #expect(colored.contains("\u{1B}[33mwarning\u{1B}[0m"))
  }

  @Test func aLineOfJSONIsOneObject() throws {
    let object = try #require(try JSON(parsing: line(.json, .file).utf8).object)
    #expect(object["time"] == .string("1970-01-01T00:00:01.000Z"))
    #expect(object["level"] == .string("warning"))
    #expect(object["message"] == .string(Self.hostile))
    #expect(object["error"] == .string(Self.hostile))
    #expect(object["_level"] == .string("own"))
    #expect(object["count"] == .integer(3))
    #expect(object["list"] == .array([.string("a"), .object(["b": .string("c")])]))
    #expect(object["worker"] == .string("w1"))
    #expect(line(.json, .journal).hasPrefix(#"<4>{"time":"1970"#))
  }

  @Test func aLineHasABound() {
    let handler = LineLogHandler(.text, for: .journal)
    let event = LogEvent(
      level: .info, message: "m", metadata: ["error": "\(String(repeating: "ü", count: 1 << 20))"],
      source: "", file: "", function: "", line: 1)
    #expect(handler.line(event, at: Timestamp(milliseconds: 0)).utf8.count < 5_000)
  }

  @Test func aSlowReaderOfANonBlockingStreamGetsWholeLines() async throws {
    let pipe = Pipe()
    let (reader, writer) = (pipe.fileHandleForReading, pipe.fileHandleForWriting)
    #expect(fcntl(writer.fileDescriptor, F_SETFL, O_NONBLOCK) == 0)
    let line = [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20)
    Thread.detachNewThread {
      LineLogHandler.write(line, to: writer.fileDescriptor)
      try? writer.close()
    }
    await eventually("there is something to read") {
      var input = pollfd(fd: reader.fileDescriptor, events: Int16(POLLIN), revents: 0)
      return poll(&input, 1, 0) == 1
    }
    #expect(try reader.readToEnd()?.count == line.count)
  }

  /// What a worker writes from its start to its end, as files hold it and as the journal reads it.
  @Test(arguments: ["text", "json"], [false, true])
  func everyLineOfAWorkerIsAnEvent(_ format: String, _ isJournal: Bool) async throws {
    let harness = try await CommandHarness()
    let folder = try TemporaryFolder()
    let config = try folder.write(
      """
      [redis]
      url = "\(harness.redis.url)"
      [store]
      path = "\(folder.path)/store"
      [pipelines.demo.setup]
      handler = "exec"
      command = ["/bin/sh", "-c", "echo 'two words' >&2; exit 65"]
      """, to: "config.toml")
    let worker = try harness.command(
      ["work", "--config", config, "--log-format", format, "--log-level", "trace"],
      isJournal: isJournal)
    await eventually("it runs") {
      try await harness.redis.cli("ZCARD", "batchd:workers") == "1"
    }
    _ = try await harness.run("enqueue", "--id", "b1", "--config", config)
    await eventually("the end is told") { try worker.complaint.contains("batch failed") }
    worker.interrupt()
    let outcome = try await worker.outcome()
    #expect(outcome.status == 0)
    let lines = outcome.complaint.split(separator: "\n")
    #expect(lines.count { $0.contains("batch failed") } == 1)
    #expect(lines.contains { $0.contains("two words") && $0.contains("stderr") })
    for line in lines {
      let priority = line.prefixMatch(of: /<([2-7])>/)
      #expect((priority != nil) == isJournal, "\(line)")
      let rest = line.dropFirst(isJournal ? 3 : 0)
      if format == "json" {
        let object = try JSON(parsing: rest.utf8).object
        #expect(object?["message"] != nil && object?["time"] != nil, "\(line)")
      } else {
        #expect(rest.hasPrefix("20") != isJournal, "\(line)")
      }
      if isJournal, line.contains("batch failed") { #expect(line.hasPrefix("<4>")) }
    }
  }

  @Test func itsEndIsAnEventToo() async throws {
    let harness = try await CommandHarness()
    let missing = ["work", "--config", "\(harness.redis.folder)/none.toml"]
    let person = try await harness.command(missing).outcome()
    #expect(person.status == 66 && person.complaint.hasPrefix("batchd: "))
    let journal = try await harness.command(missing, isJournal: true).outcome()
    #expect(journal.status == 66)
    #expect(journal.complaint.hasPrefix("<3>the worker ends error="), "\(journal.complaint)")
    let program = try await harness.command(missing + ["--log-format", "json"]).outcome()
    #expect(try JSON(parsing: program.complaint.utf8).object?["level"] == .string("error"))
  }
}
