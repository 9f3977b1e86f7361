internal import Foundation
internal import Glibc
internal import Pipeline

/// How a stage runs a command.
public struct ExecConfiguration: Sendable {
  /// The program (absolute, relative to `directory`, or a name that is looked for in the command's PATH) and its
  /// arguments, given as they are: no shell reads them.
  public var command: [String]
  /// What the command finds in its environment, beside what `passEnvironment` names and batchd's own.
  public var environment: [String: String] = [:]
  /// Names of the worker's own environment that are passed on.
  public var passEnvironment: [String] = []
  /// Where the command runs; where the worker runs when nil.
  public var directory: String?
  /// The file that the command finds as BATCHD_CONFIG.
  public var configurationPath: String?
  /// Bytes that one call may write to its standard output.
  public var totalBytes = 1 << 30

  public init(command: [String]) { self.command = command }

  static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  func validate() throws(StagesError) {
    func require(_ condition: Bool, _ message: String) throws(StagesError) {
      if !condition { throw StagesError(.configuration, "exec: \(message)") }
    }
    try require(
      command.first?.isEmpty == false,
      #"command must name a program, as ["/usr/local/bin/detect", "--fast"]"#)
    let texts = command + [directory ?? "", configurationPath ?? ""] + environment.values
    try require(
      !texts.contains { $0.utf8.contains(0) }, "a NUL byte cannot be handed to a command")
    for name in environment.keys.sorted() + passEnvironment {
      let isValid = !name.isEmpty && !name.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "=") }
      try require(isValid, "'\(name.printable(40))' cannot be the name of an environment variable")
      try require(!name.hasPrefix("BATCHD_"), "\(name) is batchd's own: choose another name")
    }
    try require(totalBytes > 0, "total_bytes must be above 0, not \(totalBytes)")
  }

  /// What the command of `job` finds in its environment, and nothing else.
  func environment(of job: StageJob) -> [String: String] {
    var values = ["PATH": Self.defaultPath, "PYTHONUNBUFFERED": "1"]
    let own = ProcessInfo.processInfo.environment
    for name in passEnvironment { values[name] = own[name] ?? values[name] }
    values.merge(environment) { $1 }
    values["BATCHD_BATCH"] = job.batch
    values["BATCHD_OPERATION"] = job.operation
    values["BATCHD_ACCOUNT"] = job.account ?? ""
    values["BATCHD_PIPELINE"] = job.pipeline
    values["BATCHD_STAGE"] = job.stage.rawValue
    values["BATCHD_RUN"] = String(job.run)
    values["BATCHD_ATTEMPT"] = String(job.attempt)
    values["BATCHD_FENCE"] = job.fence.description
    values["BATCHD_CONFIG"] = configurationPath
    // An id may hold any character; the kernel would end it at a NUL.
    if job.items.count == 1, !job.items[0].id.utf8.contains(0) {
      values["BATCHD_ITEM"] = job.items[0].id
    }
    return values
  }

  /// The file to run, as the kernel takes it.
  /// - Parameter path: of the command's own environment.
  /// - Throws: `ExecFailure` that says where it was looked for.
  func program(path: String) throws(ExecFailure) -> String {
    let name = command[0]
    if let directory, access(directory, X_OK) != 0 {
      throw ExecFailure("there is no directory \(directory) that this worker's user may enter")
    }
    if name.contains("/") {
      let file = name.hasPrefix("/") ? name : "\(directory ?? ".")/\(name)"
      guard access(file, F_OK) == 0 else { throw ExecFailure("there is no \(file)") }
      guard access(file, X_OK) == 0 else {
        throw ExecFailure("\(file) is not executable by this worker's user: chmod +x")
      }
      return name
    }
    let files = path.split(separator: ":").map { "\($0)/\(name)" }
    let found = files.first { (file: String) in access(file, X_OK) == 0 }
    guard let found else { throw ExecFailure("\(name) is in none of \(path)") }
    return found
  }
}

/// Why a command cannot be run on this machine.
struct ExecFailure: Error {
  let text: String

  init(_ text: String) { self.text = text }
}
