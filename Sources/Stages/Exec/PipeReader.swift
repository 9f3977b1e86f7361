import NIOCore
import NIOPosix
import Synchronization

/// The reading end of a pipe of a command. Reads only when it is asked to: a command that writes faster than what it
/// writes is taken has to wait.
final class PipeReader: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer

  private struct State {
    var bytes = ByteBuffer()
    var reader: CheckedContinuation<ByteBuffer?, Never>?
    /// Which call of `next` waits: a deadline is for one of them.
    var call = 0
    var isClosed = false
    /// For how long an empty pipe is still waited for.
    var patience: TimeAmount?
  }

  private let state = Mutex(State())
  private let channel: any Channel

  /// Takes the descriptor, which it closes.
  static func open(_ descriptor: Int32, on loop: any EventLoop) async throws -> PipeReader {
    // In place before the channel is: a short command may have ended by then.
    try await NIOPipeBootstrap(group: loop).channelOption(.autoRead, value: false)
      .takingOwnershipOfDescriptor(input: descriptor) { channel in
        let reader = PipeReader(channel)
        return channel.pipeline.addHandler(reader).map { reader }
      }
  }

  private init(_ channel: any Channel) { self.channel = channel }

  /// What was written since the last call, once something was; nil when nothing will be any more.
  func next() async -> ByteBuffer? {
    await withCheckedContinuation { continuation in
      let wait = state.withLock { state -> (call: Int, patience: TimeAmount?)? in
        if state.bytes.readableBytes == 0, !state.isClosed {
          state.reader = continuation
          state.call += 1
          return (state.call, state.patience)
        }
        continuation.resume(returning: Self.take(&state))
        return nil
      }
      guard let wait else { return }
      channel.read()
      if let patience = wait.patience { giveUp(wait.call, after: patience) }
    }
  }

  /// The command has ended. Others may hold the pipe open for ever, so what is in it is still read, and then not more
  /// than `patience` is waited for more.
  func limit(_ patience: TimeAmount) {
    let call = state.withLock { state in
      state.patience = patience
      return state.reader == nil ? nil : state.call
    }
    if let call { giveUp(call, after: patience) }
  }

  /// Closes the descriptor; bytes that nobody asked for are lost.
  func close() async { try? await channel.close() }

  /// The loop looks at the pipe before it looks at the clock: what is there is read, however busy the machine.
  private func giveUp(_ call: Int, after patience: TimeAmount) {
    channel.eventLoop.scheduleTask(in: patience) { [self] in
      state.withLock { state in
        guard state.call == call, state.reader != nil else { return }
        state.isClosed = true
        Self.answer(&state)
      }
    }
  }

  private static func answer(_ state: inout State) {
    guard let reader = state.reader, state.bytes.readableBytes > 0 || state.isClosed else { return }
    state.reader = nil
    reader.resume(returning: take(&state))
  }

  private static func take(_ state: inout State) -> ByteBuffer? {
    guard state.bytes.readableBytes > 0 else { return nil }
    defer { state.bytes = ByteBuffer() }
    return state.bytes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    state.withLock { _ = $0.bytes.writeBuffer(&bytes) }
  }

  func channelReadComplete(context: ChannelHandlerContext) { state.withLock { Self.answer(&$0) } }

  func channelInactive(context: ChannelHandlerContext) {
    state.withLock { state in
      state.isClosed = true
      Self.answer(&state)
    }
  }

  /// The end follows.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
