internal import Redis

/// What Redis has spent so far, by its own account (INFO).
struct RedisCounters {
  /// Processor time of the whole server, in microseconds.
  let cpuMicroseconds: Double
  /// Calls of our functions, and the microseconds within them.
  let calls: Int
  let callMicroseconds: Int
  /// Commands that clients sent: those of a kind that functions never call.
  let commands: Int
  /// Bytes that its data takes.
  let memory: Int

  static func read(_ connection: RedisConnection) async throws -> RedisCounters {
    let text = try await connection.call(["INFO", "everything"]).text ?? ""
    var fields: [Substring: Substring] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { fields[parts[0]] = parts[1] }
    }
    var call: [Substring: Int] = [:]
    for part in fields["cmdstat_fcall", default: ""].split(separator: ",") {
      let pair = part.split(separator: "=")
      if pair.count == 2 { call[pair[0]] = Int(pair[1]) }
    }
    let sent = ["fcall", "blmove", "client|", "function|", "ping", "auth", "select"]
    let commands = fields.filter { name, _ in sent.contains { name.hasPrefix("cmdstat_\($0)") } }
      .compactMap { $0.value.split(separator: ",").first?.dropFirst("calls=".count) }
      .reduce(0) { $0 + (Int($1) ?? 0) }
    let cpu = ["used_cpu_user", "used_cpu_sys"].compactMap { fields[$0].flatMap { Double($0) } }
    return RedisCounters(
      cpuMicroseconds: cpu.reduce(0, +) * 1_000_000, calls: call["calls"] ?? 0,
      callMicroseconds: call["usec"] ?? 0,
      commands: commands, memory: fields["used_memory"].flatMap { Int($0) } ?? 0)
  }
}
