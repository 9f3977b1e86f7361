internal import ArgumentParser
internal import Logging
internal import Queue
internal import Redis

/// Under which prefixes a command looks and acts: that of `--prefix`, else all of the configuration, in their order.
extension CommonOptions {
  /// - Parameter account: what is only of one is under its home.
  func names(_ configuration: Configuration, account: String? = nil) -> [String] {
    prefix.map { [$0] } ?? account.map { [configuration.prefixes.home(of: $0)] }
      ?? configuration.prefixes.names
  }

  /// Connects once, to the Redis of one prefix.
  /// - Parameter connectMilliseconds: how long that may take; nil for as long as a person waits.
  func connect(
    _ configuration: Configuration, to prefix: String, connectMilliseconds: Int? = nil
  ) async throws -> Control {
    var settings = try configuration.redis.client()
    settings.slotKey = prefix
    settings.connectTimeoutMilliseconds =
      connectMilliseconds ?? settings.connectTimeoutMilliseconds
    let client = RedisClient(
      settings, logger: Logger(label: "batchd") { _ in SwiftLogNoOpLogHandler() })
    return Control(try await client.connect(), prefix: prefix)
  }

  /// The prefixes that can be reached, and why others cannot.
  struct Reached {
    var controls: [Control] = []
    /// Of the last one; nil when all are there.
    var failure: CommandError?

    /// What a prefix knows of a name, the more it says of it the later.
    enum Rank: Int {
      case unknown, rejected, ended, living
    }

    /// Whom a name means: the one that says the most of it.
    /// - Throws: `CommandError` when two say the same, but for what they rejected.
    func first(_ rank: (Control) async throws -> Rank) async throws -> Control? {
      guard controls.count > 1 else { return controls[0] }
      var best: (control: Control, rank: Rank)?
      for control in controls {
        let rank = try await rank(control)
        if rank == best?.rank, rank != .rejected, let other = best?.control {
          throw CommandError(
            .data,
            "it is under \(other.keys.prefix) and under \(control.keys.prefix): say which with --prefix"
          )
        }
        if rank.rawValue > best?.rank.rawValue ?? 0 { best = (control, rank) }
      }
      return best?.control
    }
  }

  /// Connects once to each. Of several, one that is away is told of, and keeps nobody from the others.
  /// - Throws: `RedisError` when none can be reached.
  func connect(
    _ configuration: Configuration, account: String? = nil
  ) async throws -> Reached {
    var reached = Reached()
    let names = names(configuration, account: account)
    for (at, prefix) in names.enumerated() {
      do {
        reached.controls.append(try await connect(configuration, to: prefix))
      } catch let error as RedisError
        where names.count > 1 && !(at == names.count - 1 && reached.controls.isEmpty)
      {
        let failure = CommandError(error)!
        Terminal.complain("batchd: \(prefix): \(failure.message)")
        reached.failure = CommandError(failure.code, "\(prefix): \(failure.message)")
      }
    }
    return reached
  }

  /// The prefix, for what has a meaning under one only.
  func onlyName(_ configuration: Configuration) throws -> String {
    let names = names(configuration)
    guard names.count == 1 else {
      throw ValidationError(
        "the configuration has several prefixes; say which is meant: --prefix '\(names.joined(separator: "' or '"))'"
      )
    }
    return names[0]
  }

  /// What a command found under one prefix: in words, and for programs.
  typealias Found = (words: () -> String, value: any Encodable)

  /// Answers for each prefix by itself. Of several, one that cannot be asked keeps nobody from hearing of the others.
  /// - Parameters:
  ///   - prefixes: nil for all that the command is about.
  ///   - hasHeading: whether a line with its name stands above the words of each of several.
  ///   - look: throws what one prefix has to say instead.
  /// - Throws: what `look` throws; of several an `ExitCode`, once all have been asked.
  func answer(
    _ configuration: Configuration, for prefixes: [String]? = nil, hasHeading: Bool = true,
    _ look: (Control) async throws -> Found
  ) async throws {
    let names = prefixes ?? names(configuration)
    if names.count == 1 {
      let found = try await look(try await connect(configuration, to: names[0]))
      return print(json ? try Self.json(found.value) : found.words())
    }
    var status: Int32 = 0
    for (at, prefix) in names.enumerated() {
      do {
        let found = try await look(try await connect(configuration, to: prefix))
        guard !json else {
          print(try Self.json(OfPrefix(prefix: prefix, value: found.value)))
          continue
        }
        if at > 0 { print("") }
        if hasHeading {
          print(StyledLine(prefix, .bold).text(width: nil, hasColor: Terminal().hasColor))
        }
        print(found.words())
      } catch {
        guard let failure = CommandError(error) else { throw error }
        Terminal.complain("batchd: \(prefix): \(failure.message)")
        status = max(status, failure.code.rawValue)
      }
    }
    guard status == 0 else { throw ExitCode(status) }
  }

  /// An answer with the prefix that it is of: among the members of an object, or of each object in a list.
  struct OfPrefix: Encodable {
    let prefix: String
    let value: any Encodable

    private enum Key: String, CodingKey { case prefix }

    func encode(to encoder: any Encoder) throws {
      if let list = value as? [any Encodable] {
        var container = encoder.unkeyedContainer()
        for element in list { try container.encode(OfPrefix(prefix: prefix, value: element)) }
      } else {
        try value.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(prefix, forKey: .prefix)
      }
    }
  }
}
