import Glibc

/// The loop of a `FaultyProxy`: moves bytes between pairs of sockets, on a thread of its own.
final class ProxyLoop {
  /// What was done to the traffic since the last step.
  struct Done {
    var swallowed = 0
    var delayed = 0
    var cut = 0
  }

  /// One direction of a connection.
  private struct Pipe {
    let from: Int32
    let to: Int32
    let isFromClient: Bool
    var waiting: [(due: ContinuousClock.Instant, bytes: ArraySlice<UInt8>)] = []
    var nextByte = ContinuousClock.now
    var isForgotten = false
  }

  private let listener: Int32
  private let target: String
  /// Reports, and answers the fault in force; nil when the proxy is gone.
  private let step: (Done) -> FaultyProxy.Fault?
  private var pipes: [Pipe] = []
  private var done = Done()
  private var last = FaultyProxy.Fault.none

  init(
    listener: Int32, target: String, step: @escaping @Sendable (Done) -> FaultyProxy.Fault?
  ) {
    self.listener = listener
    self.target = target
    self.step = step
  }

  func run() {
    while let fault = step(done) {
      done = Done()
      if fault == .forget, last != .forget {
        for index in pipes.indices { pipes[index].isForgotten = true }
      }
      last = fault
      if fault == .cut {
        done.cut += pipes.count / 2
        for pipe in pipes where pipe.isFromClient { end(pipe) }
      }
      wait()
      accept(fault)
      var ended: Set<Int32> = []
      for index in pipes.indices where !move(&pipes[index], fault) {
        ended.insert(pipes[index].isFromClient ? pipes[index].from : pipes[index].to)
      }
      for pipe in pipes where pipe.isFromClient && ended.contains(pipe.from) { end(pipe) }
    }
    for pipe in pipes where pipe.isFromClient { end(pipe) }
    close(listener)
  }

  /// Until there is something to read, or for the few milliseconds after which held-up bytes may be due.
  private func wait() {
    var polled = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
    polled += pipes.map { pollfd(fd: $0.from, events: Int16(POLLIN), revents: 0) }
    poll(&polled, nfds_t(polled.count), 5)
  }

  private func accept(_ fault: FaultyProxy.Fault) {
    var polled = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    while poll(&polled, 1, 0) == 1 {
      let client = Glibc.accept(listener, nil, nil)
      guard client >= 0 else { return }
      _ = fcntl(client, F_SETFD, FD_CLOEXEC)
      guard fault != .cut, let server = connectUnix(target) else {
        done.cut += 1
        close(client)
        continue
      }
      pipes.append(Pipe(from: client, to: server, isFromClient: true))
      pipes.append(Pipe(from: server, to: client, isFromClient: false))
    }
  }

  private func end(_ pipe: Pipe) {
    close(pipe.from)
    close(pipe.to)
    pipes.removeAll { $0.from == pipe.from || $0.to == pipe.from }
  }

  /// - Returns: whether the connection goes on.
  private func move(_ pipe: inout Pipe, _ fault: FaultyProxy.Fault) -> Bool {
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let now = ContinuousClock.now
    let count = recv(pipe.from, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return false }
    if count > 0 {
      if swallows(fault, pipe) {
        done.swallowed += count
      } else {
        var due = now
        if case .delay(let milliseconds) = fault { due += .milliseconds(milliseconds) }
        if fault != .none { done.delayed += 1 }
        pipe.waiting.append((max(due, pipe.waiting.last?.due ?? due), bytes[..<count]))
      }
    }
    while let first = pipe.waiting.first, first.due <= now {
      if fault == .trickle, now < pipe.nextByte { return true }
      let most = fault == .trickle ? 1 : first.bytes.count
      let sent = first.bytes.withUnsafeBytes {
        send(pipe.to, $0.baseAddress, most, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      }
      if sent < 0 { return errno == EAGAIN || errno == EINTR }
      pipe.nextByte = now + .seconds(1)
      pipe.waiting[0].bytes.removeFirst(sent)
      if pipe.waiting[0].bytes.isEmpty { pipe.waiting.removeFirst() }
    }
    return true
  }

  private func swallows(_ fault: FaultyProxy.Fault, _ pipe: Pipe) -> Bool {
    if pipe.isForgotten { return true }
    return switch fault {
    case .drop: true
    case .deafServer: pipe.isFromClient
    case .deafClient: !pipe.isFromClient
    case .none, .delay, .trickle, .forget, .cut: false
    }
  }
}
