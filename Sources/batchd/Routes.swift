internal import Pipeline
internal import Queue

/// From envelopes to the prefixes under which their batches belong: those of an account under its home, those without one
/// with the others of their operation.
struct Routes {
  let prefixes: Prefixes
  /// That of `--prefix`, which everything goes to.
  let only: String?
  /// The connections that were needed so far; each was opened once.
  private(set) var controls: [(prefix: String, control: Control)] = []
  private let connect: (_ prefix: String) async throws -> Control

  init(
    _ prefixes: Prefixes, only: String?,
    connect: @escaping (_ prefix: String) async throws -> Control
  ) {
    self.prefixes = prefixes
    self.only = only
    self.connect = connect
  }

  /// - Throws: `CommandError` when `--prefix` names another: a worker would reject the account's batches.
  func prefix(ofAccount account: String) throws -> String {
    let home = prefixes.home(of: account)
    guard let only, only != home else { return home }
    throw CommandError(
      .data,
      "account \"\(account)\" has its batches under the prefix \(home), not \(only): leave --prefix out; nothing was enqueued"
    )
  }

  private func prefix(of envelope: Envelope) throws -> String {
    if let account = envelope.account { return try prefix(ofAccount: account) }
    return only ?? prefixes.home(of: envelope.operation ?? envelope.id ?? "")
  }

  mutating func control(of prefix: String) async throws -> Control {
    if let known = controls.first(where: { $0.prefix == prefix }) { return known.control }
    let control = try await connect(prefix)
    controls.append((prefix, control))
    return control
  }

  /// The elements under each prefix, in their order.
  func grouped<Element>(
    _ elements: [Element], envelope: (Element) -> Envelope
  ) throws -> [(prefix: String, elements: [Element])] {
    var groups: [(prefix: String, elements: [Element])] = []
    for element in elements {
      let prefix = try prefix(of: envelope(element))
      if let at = groups.firstIndex(where: { $0.prefix == prefix }) {
        groups[at].elements.append(element)
      } else {
        groups.append((prefix, [element]))
      }
    }
    return groups
  }

  /// Pushes batches, those of each prefix in their order; none while one of the prefixes is away, for who would push all
  /// again would do so with those that went through, too.
  mutating func push(_ batches: [EnqueueCommand.Checked]) async throws {
    let groups = try grouped(batches, envelope: \.envelope)
    if groups.count > 1 {
      for (prefix, _) in groups { _ = try await control(of: prefix).time() }
    }
    for (prefix, batches) in groups {
      try await control(of: prefix).push(batches.map(\.bytes))
    }
  }
}

extension CommonOptions {
  func routes(_ configuration: Configuration) -> Routes {
    Routes(configuration.prefixes, only: prefix) { try await connect(configuration, to: $0) }
  }
}
