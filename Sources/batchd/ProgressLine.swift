/// One line on standard error that says how far a command is; nothing where nobody looks, nor before a second has passed.
final class ProgressLine {
  private static let pause = Duration.milliseconds(200)

  private let isLive = Terminal.isErrorLive
  private var next = ContinuousClock.now + .seconds(1)
  private var isShown = false

  func show(_ text: @autoclosure () -> String) {
    guard isLive, ContinuousClock.now >= next else { return }
    next = .now + Self.pause
    isShown = true
    Terminal.writeError("\r\u{1B}[K\(StyledLine(text()).plainText)")
  }

  /// Takes the line back.
  func end() {
    if isShown { Terminal.writeError("\r\u{1B}[K") }
    isShown = false
  }
}
