import Foundation
import Synchronization

/// Watches when the hypervisor gave this machine's processors to another one (`steal` in /proc/stat, see proc(5)): what was
/// late then tells nothing about the program.
final class StolenTime: Sendable {
  /// In Unix milliseconds; ticks of 10 ms over all processors since the boot.
  private let samples = Mutex<[(at: Int64, ticks: Int)]>([])

  /// Looks every 20 ms while `body` runs.
  static func watched<T: Sendable>(
    _ body: (StolenTime) async throws -> T
  ) async throws -> T {
    let stolen = StolenTime()
    let watch = Task.detached {
      while !Task.isCancelled {
        stolen.look()
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    defer { watch.cancel() }
    return try await body(stolen)
  }

  private func look() {
    let line = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8))?.prefix { $0 != "\n" }
    // cpu user nice system idle iowait irq softirq steal
    let ticks = line?.split(separator: " ").dropFirst(8).first.flatMap { Int($0) } ?? 0
    let now = Int64(Date.now.timeIntervalSince1970 * 1_000)
    samples.withLock { $0.append((now, ticks)) }
  }

  /// Whether any was taken between two moments in Unix milliseconds.
  func isAny(from: Int64, to: Int64) -> Bool {
    samples.withLock { samples in
      guard let before = samples.last(where: { $0.at <= from }) ?? samples.first,
        let after = samples.first(where: { $0.at >= to }) ?? samples.last
      else { return false }
      return after.ticks > before.ticks
    }
  }
}
