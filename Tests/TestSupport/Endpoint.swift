internal import NIOCore
public import NIOHTTP1
internal import NIOPosix
import Synchronization

/// An HTTP server on a free port of the loopback that answers as a test says, and keeps what it was asked.
public final class Endpoint: Sendable {
  public struct Request: Sendable {
    public let head: HTTPRequestHead
    public var body: [UInt8] = []
    public let arrived = ContinuousClock.now

    public func header(_ name: String) -> String? { head.headers.first(name: name) }
  }

  public struct Reply: Sendable {
    public var status: Int
    public var headers: [(String, String)]
    /// Written one after the other.
    public var pieces: [String]
    /// Waited for before the second piece.
    public var pause: (@Sendable () async -> Void)?

    public init(
      status: Int = 200, headers: [(String, String)] = [], pieces: [String] = [],
      pause: (@Sendable () async -> Void)? = nil
    ) {
      self.status = status
      self.headers = headers
      self.pieces = pieces
      self.pause = pause
    }
  }

  private let state = Mutex<[Request]>([])
  /// Those that came whole, in their order.
  public var requests: [Request] { state.withLock { $0 } }

  /// Runs `use` with the URL of a server.
  public static func with(
    _ reply: @escaping @Sendable (Request) -> Reply,
    use: (Endpoint, String) async throws -> Void
  ) async throws {
    let endpoint = Endpoint()
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Handler(endpoint, reply))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    do {
      try await use(endpoint, "http://127.0.0.1:\(server.localAddress!.port!)/stage?token=secret")
    } catch {
      try await server.close()
      throw error
    }
    try await server.close()
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private let endpoint: Endpoint
    private let reply: @Sendable (Request) -> Reply
    private var request: Request?

    init(_ endpoint: Endpoint, _ reply: @escaping @Sendable (Request) -> Reply) {
      self.endpoint = endpoint
      self.reply = reply
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): request = Request(head: head)
      case .body(let bytes): request?.body += Array(buffer: bytes)
      case .end:
        guard let request else { return }
        endpoint.state.withLock { $0.append(request) }
        answer(reply(request), on: context.channel)
      }
    }

    private func answer(_ reply: Reply, on channel: any Channel) {
      Task {
        let head = HTTPResponseHead(
          version: .http1_1, status: .init(statusCode: reply.status),
          headers: HTTPHeaders(reply.headers))
        try await channel.writeAndFlush(HTTPServerResponsePart.head(head))
        for (index, piece) in reply.pieces.enumerated() {
          if index == 1 { await reply.pause?() }
          try await channel.writeAndFlush(
            HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: piece))))
        }
        try await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
      }
    }
  }
}
