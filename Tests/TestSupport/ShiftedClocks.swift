import Foundation
import Glibc

/// Wall clocks for programs under test, that run ahead or behind and step when told to; the monotonic ones stay as they
/// are. A small library is laid over the program's C library (LD_PRELOAD) and reads the shift from a mapped file.
public final class ShiftedClocks: Sendable {
  private let folder: TestFolder

  public init() async throws {
    folder = try TestFolder()
    try Data(Self.source.utf8).write(to: URL(filePath: "\(folder.path)/clock.c"))
    _ = try await ChildProcess.run(
      ["cc", "-shared", "-fPIC", "-O1", "-o", "\(folder.path)/clock.so", "\(folder.path)/clock.c"],
      in: folder.path)
  }

  /// From now on the clock of that name is `seconds` ahead of the true one; negative for behind.
  public func set(_ name: String, seconds: Int) throws {
    let descriptor = open("\(folder.path)/\(name)", O_WRONLY | O_CREAT, 0o600)
    defer { close(descriptor) }
    var shift = Int64(seconds)
    // In one write, so that nobody reads half of it.
    guard pwrite(descriptor, &shift, 8, 0) == 8 else {
      throw ChildProcess.Failure(description: "cannot set the clock \(name)")
    }
  }

  /// The command through which a program gets the clock of that name, which has been set before.
  public func through(_ name: String) -> [String] {
    // What lies over the test's own C library stays: deploy/tsan needs it.
    let others = ProcessInfo.processInfo.environment["LD_PRELOAD"].map { ":\($0)" } ?? ""
    return [
      "env", "LD_PRELOAD=\(folder.path)/clock.so\(others)",
      "SHIFTED_CLOCK=\(folder.path)/\(name)",
    ]
  }

  private static let source = """
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <sys/time.h>
    #include <time.h>
    #include <unistd.h>
    static volatile long long *shift;
    __attribute__((constructor)) static void map_shift(void) {
      int file = open(getenv("SHIFTED_CLOCK"), O_RDONLY);
      void *memory = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
      if (memory == MAP_FAILED) abort();
      close(file);
      shift = memory;
    }
    static long long seconds(void) { return shift ? *shift : 0; }
    int clock_gettime(clockid_t id, struct timespec *to) {
      int code = syscall(SYS_clock_gettime, id, to);
      if (!code && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) to->tv_sec += seconds();
      return code;
    }
    int gettimeofday(struct timeval *restrict to, void *restrict zone) {
      int code = syscall(SYS_gettimeofday, to, zone);
      if (!code && to) to->tv_sec += seconds();
      return code;
    }
    time_t time(time_t *to) {
      struct timespec now;
      clock_gettime(CLOCK_REALTIME, &now);
      if (to) *to = now.tv_sec;
      return now.tv_sec;
    }
    """
}
