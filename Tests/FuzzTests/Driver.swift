#if canImport(Glibc)
  import Glibc
#endif

/// libFuzzer's own loop, as a function (compiler-rt, FuzzerDriver.cpp).
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// `batchd-fuzz TARGET [options of libFuzzer] FOLDER...`; `deploy/fuzz` builds and calls it.
@main enum Driver {
  /// libFuzzer's callback has no room for a context.
  nonisolated(unsafe) private static var target = FuzzTarget.replies

  static func main() {
    guard CommandLine.argc > 1, let target = FuzzTarget(rawValue: CommandLine.arguments[1]) else {
      let known = FuzzTarget.allCases.map(\.rawValue).joined(separator: " ")
      print("batchd-fuzz TARGET [libFuzzer's options] FOLDER...; targets: \(known)")
      exit(64)
    }
    self.target = target
    // libFuzzer starts itself again with its first argument.
    var count = CommandLine.argc - 1
    var arguments = CommandLine.unsafeArgv + 1
    arguments[0] = CommandLine.unsafeArgv[0]
    exit(
      runDriver(&count, &arguments) { bytes, size in
        do {
          try Driver.target.check(Array(UnsafeBufferPointer(start: bytes, count: size)))
        } catch {
          fatalError("\(error)")
        }
        return 0
      })
  }
}
