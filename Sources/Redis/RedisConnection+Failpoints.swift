#if FAILPOINTS
  internal import Failpoints

  /// Every call to Redis is a point before it is sent and after its reply has come.
  extension RedisConnection {
    /// The function without its prefix, or the command; for several in one piece, what they begin with, a word for all
    /// that are alike.
    static func point(_ commands: [[RedisArgument]]) -> String {
      let names = commands.map { command in
        guard case .text(let verb)? = command.first else { return "?" }
        guard verb == "FCALL", command.count > 1, case .text(let function) = command[1] else {
          return verb
        }
        return String(function.drop { $0 != "_" }.dropFirst())
      }
      return Set(names).count == 1 ? names[0] : names.joined(separator: "+")
    }

    /// Passes the point before a call.
    /// - Returns: the error that is the answer; nil when the call may go out.
    static func failBefore(_ commands: [[RedisArgument]]) -> RedisError? {
      guard Failpoints.areArmed else { return nil }
      let name = point(commands)
      Failpoints.pass(name, .before)
      return Failpoints.refusal(of: name).map { RedisError(code: .server, message: $0) }
    }

    /// Passes the point after a call.
    /// - Throws: `connectionLost` when the reply is to be lost, and the connection with it.
    func failAfter(_ commands: [[RedisArgument]], _ value: RedisValue) throws {
      guard Failpoints.areArmed else { return }
      let name = Self.point(commands)
      Failpoints.pass(name, .after)
      guard Failpoints.losesReply(to: name, "\(commands)", "\(value)") else { return }
      beginClose()
      throw RedisError(code: .connectionLost, message: "a failpoint has lost the reply to \(name)")
    }
  }
#endif
