internal import NIOCore
internal import NIOPosix

/// Runs tasks on the event loop of all connections to Redis.
///
/// For tasks that do little but talk to Redis: the thread that read a reply resumes them, and writes their next command. On
/// a thread of their own each step would first have to wake another thread, which costs an idle machine more than the call.
/// What blocks or computes for long there holds up every call.
public final class RedisExecutor: TaskExecutor {
  public static let shared = RedisExecutor()

  let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()

  private init() {}

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
