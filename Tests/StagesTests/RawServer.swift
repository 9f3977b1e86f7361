import NIOCore
import NIOPosix

/// A server that answers each connection's first bytes with what a test gives it, HTTP or not.
enum RawServer {
  /// What it does once a request came.
  enum Behaviour: Sendable {
    /// Writes the text and leaves the connection open.
    case text(String)
    /// Writes the text and ends the connection as a server does that read the whole request: a `close` with a part of it
    /// unread would reset the connection, and the client lose an answer it had.
    case textAndClose(String)
    /// Says nothing.
    case hang
    /// Writes the head, then a byte every 20 ms without end.
    case drip(head: String)
    /// Writes the head, then bytes as fast as they are taken, without end.
    case flood(head: String)
  }

  /// Runs `use` with the base URL of a server on a free port of the loopback.
  static func with(
    _ behaviour: Behaviour, onRequest: @escaping @Sendable () -> Void = {},
    use: (String) async throws -> Void
  ) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let server = try await ServerBootstrap(group: group)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(behaviour, onRequest))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    do {
      try await use("http://127.0.0.1:\(server.localAddress!.port!)/api/v1")
    } catch {
      try await server.close()
      throw error
    }
    try await server.close()
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let behaviour: Behaviour
    private let onRequest: @Sendable () -> Void
    private var hasAnswered = false

    init(_ behaviour: Behaviour, _ onRequest: @escaping @Sendable () -> Void) {
      self.behaviour = behaviour
      self.onRequest = onRequest
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !hasAnswered else { return }
      hasAnswered = true
      onRequest()
      let channel = context.channel
      switch behaviour {
      case .hang: break
      case .text(let text): channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
      case .textAndClose(let text):
        channel.writeAndFlush(ByteBuffer(string: text)).whenComplete { _ in
          channel.close(mode: .output, promise: nil)
        }
      case .drip(let head):
        channel.writeAndFlush(ByteBuffer(string: head), promise: nil)
        channel.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(20)) {
          task in
          if !channel.isActive { return task.cancel() }
          channel.writeAndFlush(ByteBuffer(string: " "), promise: nil)
        }
      case .flood(let head):
        channel.writeAndFlush(ByteBuffer(string: head), promise: nil)
        Self.flood(channel)
      }
    }

    private static func flood(_ channel: any Channel) {
      channel.writeAndFlush(ByteBuffer(repeating: 32, count: 1 << 16)).whenSuccess {
        flood(channel)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      context.close(promise: nil)
    }
  }
}
