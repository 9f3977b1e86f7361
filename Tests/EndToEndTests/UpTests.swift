import Foundation
import Glibc
import Logging
import Redis
import TestSupport
import Testing

extension ProcessTests {
  /// `batchd up` has its folder for itself, and leaves nothing running.
  @Suite struct UpTests {
    private static func answers(_ folder: TestFolder) async throws -> Bool {
      let client = RedisClient(
        try RedisConfiguration(url: "unix://\(folder.path)/redis.sock"),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      return (try? await client.connect().close()) != nil
    }

    @Test func aFolderInUseIsRefusedAndAClosedTerminalStopsEverything() async throws {
      let folder = try TestFolder()
      func up(_ name: String) throws -> Program {
        try Program("batchd", ["up", "--dir", folder.path], output: "\(folder.path)/\(name).log")
      }
      let first = try up("first")
      await eventually(within: .seconds(30), "its worker runs") {
        let log = try? String(contentsOfFile: "\(folder.path)/worker-1.log", encoding: .utf8)
        return log?.contains("worker started") == true
      }
      let second = try up("second")
      let refusal = await second.exitStatus(within: .seconds(15))
      #expect(refusal == 69)
      #expect(second.output.contains("a Redis runs in \(folder.path) already"), "\(second.output)")
      if refusal == nil {
        second.send(SIGTERM)
        _ = await second.exitStatus(within: .seconds(45))
      }
      #expect(try await Self.answers(folder))
      first.send(SIGHUP)
      #expect(await first.exitStatus(within: .seconds(45)) == 0, "\(first.output)")
      #expect(try await !Self.answers(folder))
    }

    @Test func whoReadsNoMoreStopsEverything() async throws {
      let folder = try TestFolder()
      let up = try Program(
        "batchd", ["up", "--chaos", "--workers", "1", "--dir", folder.path],
        output: "\(folder.path)/out",
        through: ["bash", "-c", #""$0" "$@" | head -1; exit ${PIPESTATUS[0]}"#])
      #expect(await up.exitStatus(within: .seconds(60)) == 128 + SIGPIPE, "\(up.output)")
      #expect(up.output.contains("killing workers"))
      #expect(try await !Self.answers(folder))
    }
  }
}
