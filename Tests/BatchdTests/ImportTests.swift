import Foundation
import Pipeline
import Stores
import Testing

@testable import batchd

/// `batchd import`: exports of the systems before, with their faults.
@Suite struct ImportTests {
  private struct Bench {
    let folder: TemporaryFolder
    var config: String { "\(folder.path)/config.toml" }

    init(_ lines: String = "") throws {
      folder = try TemporaryFolder()
      try Data("accounts_dir = \"accounts\"\n[store]\npath = \"store.sqlite\"\n\(lines)".utf8)
        .write(to: URL(filePath: config))
      try FileManager.default.createDirectory(
        atPath: "\(folder.path)/accounts", withIntermediateDirectories: false)
    }

    func run(_ arguments: String..., input: String = "") async throws -> CommandHarness.Outcome {
      try await RunningCommand(
        ["import"] + arguments + ["--config", config], input: input, folder: folder.path
      ).outcome()
    }

    func jobs(_ account: String) async throws -> [String] {
      let store = try await SQLiteStore(path: "\(folder.path)/store.sqlite")
      let jobs = try await store.jobs(account: account, after: nil, limit: 10_000)
      try await store.close()
      return jobs
    }
  }

  @Test func jobsOfEveryShapeOfTheSystemsBeforeComeIn() async throws {
    let bench = try Bench()
    let lines = [
      #"{"_id":{"$oid":"65a"},"UUID":"AAAAAA","account":"acme","SerialId":{"$numberLong":"7"}}"#,
      #"{"UUID":"BBBBBB","account":"acme","data":[{"UUID":"BBBBBB","Status":"Done"}],"flag":true}"#,
      #"{"0":{"UUID":"CCCCCC","Status":"Open"},"account":"acme"}"#, "", "  ",
      #"{"document":{"UUID":"DDDDDD"},"account":"bolt"}"#,
      #"{"UUID":"AAAAAA","account":"acme","Status":"again"}"#,
    ]
    let outcome = try await bench.run("jobs", "-", input: lines.joined(separator: "\r\n"))
    #expect(outcome.status == 0, "\(outcome.complaint)")
    #expect(outcome.output == "4 jobs added, 1 known already, 0 lines refused\n")
    #expect(try await bench.jobs("acme") == ["AAAAAA", "BBBBBB", "CCCCCC"])
    #expect(try await bench.jobs("bolt") == ["DDDDDD"])
    let json = try await bench.run("jobs", "-", "--json", input: lines.joined(separator: "\n"))
    #expect(json.output == #"{"added":0,"known":5,"refused":0}"# + "\n")
    let documents = try lines.filter { $0.contains("{") }.prefix(3).map { line in
      let members = try #require(try JSON(parsing: line.utf8).object)
      let document = try ImportedJob.document(members, account: nil, field: "account").document
      return String(decoding: document, as: UTF8.self)
    }
    #expect(
      documents == [
        #"{"SerialId":7,"UUID":"AAAAAA"}"#, #"{"Status":"Done","UUID":"BBBBBB"}"#,
        #"{"Status":"Open","UUID":"CCCCCC"}"#,
      ])
  }

  @Test func whatIsNoJobIsNamedAndTheRestComesIn() async throws {
    let bench = try Bench()
    var lines = ["[]", "nonsense", #"{"UUID":"AAAAAA"}"#, #"{"account":"acme"}"#]
    lines += [#"{"UUID":"a b","account":"acme"}"#, #"{"UUID":"BBBBBB","account":"a b"}"#]
    lines += (100..<1_800).map { #"{"UUID":"JOB\#($0)","account":"acme"}"# }
    lines += Array(repeating: "{", count: 30)
    let text = "\n" + lines.joined(separator: "\n")
    let outcome = try await bench.run("jobs", "-", input: text)
    #expect(outcome.status == 65)
    #expect(outcome.output == "1,700 jobs added, 0 known already, 36 lines refused\n")
    for words in [
      "line 2: not a JSON object", "line 3: not a JSON object",
      "line 4: no text in “account”; name the account by --account or --account-field",
      "line 5: no job: it has no UUID", "line 6: no job", "line 7: account “a b” must be",
      "… more are only counted",
    ] { #expect(outcome.complaint.contains(words), "\(words)") }
    let array = try await bench.run("jobs", "-", input: "[{}]")
    #expect(array.status == 65 && array.complaint.contains("without --jsonArray"))
    #expect(try await bench.run("jobs", "\(bench.folder.path)/none").status == 66)
    let whole = try await bench.run("jobs", "-", "--account", "bolt", input: #"{"UUID":"X1"}"#)
    #expect(whole.status == 0)
    #expect(try await bench.jobs("bolt") == ["X1"])
  }

  @Test func accountsBecomeFilesThatWorkersRead() async throws {
    let bench = try Bench("[accounts.zeta]\ntoken_env = \"ZETA\"\n")
    let lines = ["acme", "bolt", "zeta"].map { #"{"name":"\#($0)","token":"api_\#($0)_canary"}"# }
    let input = lines.joined(separator: "\n")
    let outcome = try await bench.run("accounts", "-", "--json", input: input)
    #expect(outcome.status == 0, "\(outcome.complaint)")
    #expect(outcome.output == #"{"added":["acme","bolt"],"known":["zeta"]}"# + "\n")
    #expect(
      try await bench.run("accounts", "-", input: input).output
        == "0 accounts added, 3 known already\n")
    let token = "\(bench.folder.path)/accounts/acme.token"
    #expect(try String(contentsOfFile: token, encoding: .utf8) == "api_acme_canary\n")
    let mode = try FileManager.default.attributesOfItem(atPath: token)[.posixPermissions]
    #expect((mode as? Int).map { $0 & 0o007 } == 0)
    let names = try FileManager.default.contentsOfDirectory(
      atPath: "\(bench.folder.path)/accounts")
    #expect(names.sorted() == ["acme.token", "acme.toml", "bolt.token", "bolt.toml"])
    let check = try await RunningCommand(
      ["check-config", bench.config], input: "", folder: bench.folder.path,
      environment: ["ZETA": "z"]
    ).outcome()
    #expect(check.status == 0, "\(check.complaint)")
    #expect(check.output.contains("accounts.acme"))
  }

  @Test func anAccountThatIsNoneWritesNothingAndShowsNoToken() async throws {
    let bench = try Bench()
    let good = #"{"name":"acme","token":"canary-1"}"#
    for (line, words) in [
      ("{", "line 2: not a JSON object"),
      (
        #"{"company":"acme","key":"canary"}"#,
        "(it has company, key): name the member by --name-field"
      ),
      (#"{"name":"bolt","key":"canary"}"#, "(it has key, name): name the member by --token-field"),
      (#"{"name":"a b","token":"canary"}"#, "“a b” must be"),
      (#"{"name":"bolt","token":"canary\nmore"}"#, "the token of bolt is not one word of ASCII"),
      (#"{"name":"acme","token":"canary-2"}"#, "account acme stands there twice"),
    ] {
      let outcome = try await bench.run("accounts", "-", input: "\(good)\n\(line)\n")
      #expect(outcome.status == 65)
      #expect(outcome.complaint.contains(words), "\(words) in \(outcome.complaint)")
      #expect(!(outcome.complaint + outcome.output).contains("canary"))
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: "\(bench.folder.path)/accounts") == [])
    let missing = try await bench.run(
      "accounts", "-", "--dir", "\(bench.folder.path)/none", input: good)
    #expect(missing.status == 73 && missing.complaint.contains("install -d"))
  }
}
