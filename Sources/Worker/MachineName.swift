internal import Foundation
internal import Pipeline

/// Names this machine in the names of its workers.
public enum MachineName {
  /// The first 12 digits of machine-id(5), which stays over reboots and renamings; the host's name where there is none.
  public static let current: String = {
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
      if let text = try? String(contentsOfFile: path, encoding: .utf8) {
        let digits = text.prefix { $0.isHexDigit }
        if digits.count == 32 { return String(digits.prefix(12)) }
      }
    }
    let host = ProcessInfo.processInfo.hostName.prefix(64).map { character in
      Identifier.isValid(String(character)) ? character : "-"
    }
    return host.isEmpty ? "host" : String(host)
  }()
}
