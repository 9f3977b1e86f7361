import Foundation
import Testing

/// Every input of `Corpus`: seeds for the fuzzer, and what it found before it was mended.
@Suite struct CorpusTests {
  private static let corpus = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Corpus")

  @Test(arguments: FuzzTarget.allCases) func replays(_ target: FuzzTarget) throws {
    let folder = Self.corpus.appending(path: target.rawValue)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(names.count >= 3, "\(target.rawValue) has seeds")
    for name in names.sorted() {
      let input = try Data(contentsOf: folder.appending(path: name))
      #expect(throws: Never.self, "\(target.rawValue)/\(name)") { try target.check([UInt8](input)) }
    }
  }

  /// A folder that no target has would be replayed by nobody.
  @Test func everyFolderHasItsTarget() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
    #expect(Set(names) == Set(FuzzTarget.allCases.map(\.rawValue)))
  }
}
