import Foundation
import Pipeline
import Testing

@testable import enum TestSupport.ChildProcess

/// The command as a person runs it: the real executable, its output and its exit code.
struct CheckConfigTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private struct Result {
    let status: Int32
    let output: String
    let errors: String
  }

  private func checkConfig(_ file: String, _ more: String...) throws -> Result {
    // Files and not pipes: nothing can fill up and block.
    let pid = try ChildProcess.spawn(
      [RunningCommand.binary.path, "check-config", file] + more, output: "\(folder.path)/out",
      error: "\(folder.path)/err")
    let status = ChildProcess.reap(pid)
    func text(_ name: String) throws -> String {
      try String(contentsOf: URL(filePath: "\(folder.path)/\(name)"), encoding: .utf8)
    }
    return Result(
      status: status, output: try text("out"), errors: try text("err"))
  }

  @Test func aGoodFileIsShownWithSecretsAsTheirSources() throws {
    try folder.write("hunter2", to: "token")
    let file = try folder.write(
      """
      [redis]
      password_file = "nowhere"
      [accounts.acme]
      token_file = "token"
      [accounts.globex]
      token_file = "none"
      [pipelines.hooks.extraction]
      handler = "http"
      url = "http://h/"
      secret_file = "gone"
      """, to: "config.toml")
    let result = try checkConfig(file)
    #expect(result.status == 0)
    #expect(result.output.hasPrefix("prefix = \"batchd\"\n"))
    #expect(result.output.contains("\n[redis]\nurl = \"redis://127.0.0.1:6379\"\n"))
    #expect(result.output.contains("\npassword_file = \"\(folder.path)/nowhere\"\n"))
    #expect(
      result.output.contains("\n[accounts.acme]\ntoken_file = \"\(folder.path)/token\"\n"))
    #expect(!result.output.contains("hunter2"))
    #expect(
      result.errors == """
        warning: no token for account globex: file \(folder.path)/none: No such file or directory
        warning: no password for Redis: file \(folder.path)/nowhere: No such file or directory
        warning: pipelines.hooks.extraction: no secret: file \(folder.path)/gone: No such file or directory

        """)
  }

  @Test func aWrongFileEndsWithEveryProblemAnd78() throws {
    let result = try checkConfig(folder.write("a = 1\nprefix = 2", to: "config.toml"))
    #expect(result.status == 78)
    #expect(result.output.isEmpty)
    #expect(result.errors.split(separator: "\n").count == 2)
  }

  @Test func aMissingFileEndsWith66() throws {
    let result = try checkConfig("\(folder.path)/none.toml")
    #expect(result.status == 66)
    #expect(result.errors.hasPrefix("\(folder.path)/none.toml: No such file or directory"))
  }

  @Test func inJSONItIsTheSame() throws {
    let good = try folder.write("[accounts.\"a-b\"]\ntoken_file = \"none\"", to: "good.toml")
    let shown = try checkConfig(good, "--json")
    #expect(shown.status == 0)
    let answer = try JSON(parsing: shown.output.utf8)
    #expect(answer["settings"]?["limits"]?["envelope_bytes"] == .integer(1 << 20))
    #expect(answer["settings"]?["accounts"]?["a-b"] != nil)
    #expect(answer["warnings"]?.array?.count == 1)
    let wrong = try checkConfig(try folder.write("no = 1\nnever = 2", to: "wrong.toml"), "--json")
    #expect(wrong.status == 78)
    #expect(try JSON(parsing: wrong.output.utf8)["problems"]?.array?.count == 2)
  }
}
