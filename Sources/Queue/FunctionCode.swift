internal import Redis

/// The library `batchd` of Redis Functions: the helpers first, then one file per function.
enum FunctionCode {
  /// The revision in force replaces a lower one and never a higher one. Only helpers.lua states it.
  static let revision: Int = {
    let statement = "local REVISION = "
    let helpers = String(decoding: PackageResources.helpers_lua, as: UTF8.self)
    // Not by a regular expression: the parser alone would cost every worker a megabyte.
    guard let line = helpers.split(separator: "\n").first(where: { $0.hasPrefix(statement) }),
      let revision = Int(line.dropFirst(statement.count))
    else { fatalError("helpers.lua states no REVISION") }
    return revision
  }()

  static let library = RedisFunctionLibrary(name: "batchd", revision: revision, code: code)

  private static let shared = [
    PackageResources.keytypes_lua, PackageResources.helpers_lua, PackageResources.progress_lua,
    PackageResources.records_lua, PackageResources.runs_lua, PackageResources.lifecycle_lua,
    PackageResources.outputs_lua,
    PackageResources.plain_lua, PackageResources.recount_lua, PackageResources.inspection_lua,
    PackageResources.entries_lua, PackageResources.gates_lua, PackageResources.retention_lua,
  ]

  private static let functions = [
    PackageResources.admit_lua, PackageResources.adopt_lua, PackageResources.archive_lua,
    PackageResources.cancel_lua, PackageResources.checkpoint_lua, PackageResources.claim_lua,
    PackageResources.doctor_lua, PackageResources.drop_lua, PackageResources.fail_lua,
    PackageResources.finish_lua,
    PackageResources.gate_close_lua, PackageResources.gate_confirm_lua,
    PackageResources.gate_take_lua, PackageResources.hand_back_lua, PackageResources.intake_lua,
    PackageResources.leave_lua, PackageResources.outbox_lua, PackageResources.output_lua,
    PackageResources.pause_lua,
    PackageResources.recover_lua, PackageResources.reenter_lua, PackageResources.refresh_lua,
    PackageResources.register_lua,
    PackageResources.renew_lua, PackageResources.resume_lua, PackageResources.retry_lua,
    PackageResources.revision_lua, PackageResources.snooze_lua, PackageResources.tick_lua,
  ]

  /// Each function in a block of its own: what is local to one file stays there.
  private static var code: String {
    func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
    return "#!lua name=batchd\n" + shared.map(text).joined()
      + functions.map { "do\n\(text($0))end\n" }.joined()
  }
}
