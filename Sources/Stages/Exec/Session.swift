import Glibc

/// The processes of one session: a command and all that it starts, in whatever process groups. `timeout` and a shell with
/// `set -m` make groups of their own; only setsid(2) makes another session.
struct Session {
  /// The leader's pid, which must not be forgotten yet (`Spawn.forget`).
  let id: pid_t

  /// Sends `signal` to all of it; without /proc to its first group, which is nearly always all of it.
  func send(_ signal: Int32) {
    let members = members
    for process in members { kill(process, signal) }
    if members.isEmpty { kill(-id, signal) }
  }

  /// Kills all of it. Who was killed starts nothing any more; whoever had just been started by one is found in the next round.
  func end() {
    var killed: Set<pid_t> = []
    kill(-id, SIGKILL)
    while true {
      let found = Set(members).subtracting(killed)
      if found.isEmpty { return }
      for process in found { kill(process, SIGKILL) }
      killed.formUnion(found)
    }
  }

  /// Those that live, from proc(5): no call of the kernel's names them.
  private var members: [pid_t] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var members: [pid_t] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        bytes.prefix { $0 != 0 }.map { $0 }
      }
      guard let pid = pid_t(String(decoding: name, as: UTF8.self)), isMember(pid) else { continue }
      members.append(pid)
    }
    return members
  }

  /// getsid(2) tells the session of a zombie, too, which no signal ends any more.
  private func isMember(_ pid: pid_t) -> Bool {
    guard getsid(pid) == id else { return false }
    let file = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return false }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 256)
    let count = read(file, &text, text.count)
    // PID (NAME) STATE …; a name may hold anything.
    guard count > 0, let end = text[..<count].lastIndex(of: UInt8(ascii: ")")), end + 2 < count
    else { return false }
    return text[end + 2] != UInt8(ascii: "Z") && text[end + 2] != UInt8(ascii: "X")
  }
}
