import NIOCore
import Testing

@testable import Redis

@Suite struct CallStateMachineTests {
  typealias Machine = CallStateMachine<String>

  /// A moment, in milliseconds.
  func at(_ milliseconds: Int64) -> NIODeadline {
    .uptimeNanoseconds(1) + .milliseconds(milliseconds)
  }

  func machine(_ names: [String] = [], limit: Int = 10, silence: Int64 = 1_000) -> Machine {
    var machine = Machine(waitingCalls: limit, silence: .milliseconds(silence))
    for (index, name) in names.enumerated() {
      let action = machine.submit(name, now: at(0), deadline: at(100 * Int64(index + 1)))
      #expect("\(action)" == "send(ticket: \(index + 1))")
    }
    return machine
  }

  @Test func repliesGoToCallersInOrder() {
    var machine = machine(["a", "b"])
    #expect(machine.receive(.integer(1)) == .deliver("a", .integer(1)))
    #expect(machine.receive(.null) == .deliver("b", .null))
  }

  @Test func aCancelledCallKeepsItsPlace() {
    var machine = machine(["a", "b", "c"])
    _ = machine.receive(.null)
    #expect(machine.cancel(ticket: 2) == .cancel("b"))
    #expect(machine.cancel(ticket: 2) == Machine.Action.none)
    #expect(machine.cancel(ticket: 1) == Machine.Action.none, "its place is gone")
    #expect(machine.cancel(ticket: 0) == Machine.Action.none, "never submitted")
    #expect(machine.cancel(ticket: 9) == Machine.Action.none)
    #expect(machine.receive(.integer(2)) == Machine.Action.none)
    #expect(machine.receive(.integer(3)) == .deliver("c", .integer(3)))
  }

  @Test func severalRepliesAreOneDelivery() {
    var machine = machine()
    _ = machine.submit("many", replies: 2, now: at(0), deadline: at(100))
    _ = machine.submit("gone", replies: 2, now: at(0), deadline: at(100))
    _ = machine.submit("one", now: at(0), deadline: at(100))
    #expect(machine.receive(.integer(1)) == Machine.Action.none)
    #expect(machine.receive(.integer(2)) == .deliver("many", .array([.integer(1), .integer(2)])))
    #expect(machine.receive(.integer(3)) == Machine.Action.none)
    #expect(machine.cancel(ticket: 2) == .cancel("gone"))
    #expect(machine.receive(.integer(4)) == Machine.Action.none)
    #expect(machine.receive(.integer(5)) == .deliver("one", .integer(5)))
  }

  @Test func theLineIsBounded() {
    var machine = machine(["a", "b"], limit: 2)
    _ = machine.cancel(ticket: 1)
    guard case .refuse("c", let error) = machine.submit("c", now: at(0), deadline: at(1)) else {
      Issue.record("a cancelled call still has its place, so there is no room")
      return
    }
    #expect(error.code == .tooManyCalls)
    _ = machine.receive(.null)
    #expect(machine.submit("d", now: at(0), deadline: at(1)) == .send(ticket: 3))
  }

  @Test func deadlinesEndCallsButNotTheConnection() {
    var machine = machine(["a", "b"])
    #expect(machine.nextCheck == at(100))
    #expect(machine.check(now: at(99)) == Machine.Action.none)
    #expect(machine.check(now: at(100)) == .fail([.init(waiter: "a", error: .deadlineExceeded)]))
    #expect(machine.nextCheck == at(200))
    #expect(machine.receive(.integer(1)) == Machine.Action.none)
    #expect(machine.receive(.integer(2)) == .deliver("b", .integer(2)))
    _ = machine.check(now: at(200))
    #expect(machine.nextCheck == nil)
  }

  @Test func aSilentPeerIsDeadOnceACallIsOverdue() {
    var machine = machine(["a"], silence: 1_000)
    machine.hear(now: at(50))
    _ = machine.submit("patient", now: at(60), deadline: at(9_000))
    #expect(machine.check(now: at(100)) == .fail([.init(waiter: "a", error: .deadlineExceeded)]))
    #expect(machine.nextCheck == at(1_050))
    guard case .close(let failures) = machine.check(now: at(1_050)) else {
      Issue.record("1 s of silence after an overdue call")
      return
    }
    #expect(failures.map(\.waiter) == ["patient"])
    #expect(failures.map(\.error.code) == [.connectionLost])
  }

  @Test func aLongCallIsNoSilence() {
    var machine = machine(silence: 1_000)
    _ = machine.submit("long", now: at(0), deadline: at(60_000))
    #expect(machine.check(now: at(59_999)) == Machine.Action.none)
  }

  @Test func aDedicatedConnectionClosesWithItsDeadline() {
    var machine = machine(["blocked"], silence: 0)
    guard case .close(let failures) = machine.check(now: at(100)) else {
      Issue.record("another action was expected")
      return
    }
    #expect(failures.map(\.waiter) == ["blocked"])
    #expect(failures.map(\.error.code) == [.deadlineExceeded])
  }

  @Test func closingFailsEverybodyOnce() {
    var machine = machine(["a", "b"])
    _ = machine.cancel(ticket: 1)
    let lost = RedisError(code: .connectionLost, message: "gone")
    let unsure = RedisError(
      code: .connectionLost, message: "gone; the command may have been executed")
    #expect(machine.close(lost) == .close([.init(waiter: "b", error: unsure)]))
    #expect(machine.close(lost) == Machine.Action.none)
    #expect(machine.cancel(ticket: 2) == Machine.Action.none)
    #expect(machine.receive(.null) == Machine.Action.none)
    #expect(machine.check(now: at(999)) == Machine.Action.none)
    let later = RedisError(code: .notConnected, message: "gone")
    #expect(machine.submit("c", now: at(0), deadline: at(1)) == .refuse("c", later))
  }

  @Test func onlyTheFirstInLineGetsTheBlame() {
    var machine = machine(["big", "small"])
    let tooLarge = RedisError.replyTooLarge(1)
    guard case .close(let failures) = machine.close(tooLarge) else {
      Issue.record("close() has to close")
      return
    }
    #expect(failures.map(\.error.code) == [.replyTooLarge, .connectionLost])
  }

  @Test func aReplyNobodyAskedForClosesTheConnection() {
    var machine = machine()
    #expect(machine.receive(.null) == .close([]))
    #expect(machine.closed?.code == .notConnected)
  }
}

extension CallStateMachine.Action: Equatable where Waiter == String {
  static func == (left: Self, right: Self) -> Bool { "\(left)" == "\(right)" }
}
