internal import NIOCore

/// Performs on a channel what the state machine decides: reads replies, writes what has gathered,
/// keeps one timer for the earliest deadline. Lives on the channel's event loop.
final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let core: ConnectionCore
  private let reader: ReplyReader
  private var context: ChannelHandlerContext?
  private var values: [RedisValue] = []
  private var timer: (at: NIODeadline, task: Scheduled<Void>)?

  /// The deadlines of thousands of calls lie close together: this much later, many end at once.
  private static let checkEvery = TimeAmount.milliseconds(5)

  init(core: ConnectionCore, replyBytes: Int) {
    self.core = core
    reader = ReplyReader(replyBytes: replyBytes)
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.task.cancel()
    timer = nil
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    flush()
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    var failure: RedisError?
    buffer.withUnsafeReadableBytes { bytes in
      do throws(RedisError) {
        try reader.read(bytes) { values.append($0) }
      } catch { failure = error }
    }
    let mustClose = core.receive(values)
    values.removeAll(keepingCapacity: true)
    if let failure { core.close(failure) }
    if mustClose || failure != nil { context.close(promise: nil) }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    flush()
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    core.close(
      RedisError(
        code: .connectionLost,
        message: "Redis closed the connection"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    core.close(
      RedisError(code: .connectionLost, message: TransportFailure.text(of: error)))
    context.close(promise: nil)
  }

  /// Writes everything that gathered since the last time, in one piece.
  func flush() {
    guard let context, context.channel.isActive else { return }
    let flush = core.flush(canWrite: context.channel.isWritable)
    if let bytes = flush.bytes { context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
    if let nextCheck = flush.nextCheck { arm(nextCheck) }
  }

  private func arm(_ deadline: NIODeadline) {
    guard let context else { return }
    if let timer {
      guard deadline < timer.at else { return }
      timer.task.cancel()
    }
    let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
      self.check()
    }
    timer = (deadline, task)
  }

  private func check() {
    timer = nil
    guard let context else { return }
    if core.check() {
      context.close(promise: nil)
    } else if let nextCheck = core.nextCheck {
      arm(max(nextCheck, .now() + Self.checkEvery))
    }
  }
}
