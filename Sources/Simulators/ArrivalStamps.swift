import NIOCore
import Synchronization

/// The moment at which each connection's request came off the socket. Taken on the event loop, before
/// the request waits for a thread of the concurrency pool, so that a busy machine blurs gaps least.
final class ArrivalStamps: Sendable {
  private let moments = Mutex<[ObjectIdentifier: ArrivalLog.Moment]>([:])

  func moment(of channel: any Channel) -> ArrivalLog.Moment? {
    moments.withLock { $0[ObjectIdentifier(channel)] }
  }

  func handler() -> any RemovableChannelHandler { Handler(self) }

  private final class Handler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    private let stamps: ArrivalStamps

    init(_ stamps: ArrivalStamps) { self.stamps = stamps }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      stamps.moments.withLock { $0[ObjectIdentifier(context.channel)] = .now() }
      context.fireChannelRead(data)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      _ = stamps.moments.withLock { $0.removeValue(forKey: ObjectIdentifier(context.channel)) }
    }
  }
}
