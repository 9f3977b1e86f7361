import Pipeline

/// An accepted envelope, written out again, is the same; an admitted one stays readable under any later limits.
func checkEnvelope(_ input: [UInt8]) throws {
  let envelope: Envelope
  do {
    envelope = try Envelope(parsing: input)
  } catch let error as EnvelopeError {
    try demand(!error.field.isEmpty && !error.reason.isEmpty, "a rejection without a reason")
    try demand(error.id.map(Identifier.isValid) ?? true, "an id that is none: \(error)")
    return
  }
  let again = try Envelope(parsing: envelope.json.bytes)
  try demand(again == envelope, "\(envelope) comes back as \(again)")
  let later = try Envelope(parsing: input, limits: .none)
  try demand(later == envelope, "\(envelope) is \(later) without limits")
}

extension Envelope {
  fileprivate var json: JSON {
    var members: [String: JSON] = [:]
    members["id"] = id.map { .string($0) }
    members["operation"] = operation.map { .string($0) }
    members["pipeline"] = pipeline.map { .string($0) }
    members["account"] = account.map { .string($0) }
    members["items"] = items.map { .array($0.map(\.value)) }
    members["payload"] = payload
    if isHighPriority { members["priority"] = .string("high") }
    switch due {
    case .now: break
    case .after(let milliseconds): members["delay"] = .number(Double(milliseconds) / 1000)
    case .at(let moment): members["at"] = .string(moment.description)
    }
    members["size"] = size.map { .integer(Int64($0)) }
    if isRerun { members["rerun"] = .bool(true) }
    return .object(members)
  }
}
