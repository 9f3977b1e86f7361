import Pipeline
import Worker

/// What `payload.discover` asks for: where the account's jobs are listed, and for the service the filters of `job/all/` by
/// its names. What is left out is the service's default: the last 14 days, open jobs only.
struct WorkizDiscovery: Sendable, Equatable {
  enum Source: String {
    /// The service's listing.
    case api
    /// The jobs that the results store knows.
    case store
  }

  var source = Source.api
  /// Jobs of one batch; nil for the configuration's.
  var batchSize: Int?
  var startDate: String?
  var onlyOpen: Bool?
  var statuses: [String] = []

  /// - Returns: nil when the payload asks for no discovery.
  /// - Throws: `StageError.permanent` that names the member that is not understood.
  init?(payload: JSON?) throws(StageError) {
    switch payload?["discover"] {
    case nil, .null, .bool(false): return nil
    case .bool(true): break
    case .object(let members):
      for (name, value) in members.sorted(by: { $0.key < $1.key }) { try read(name, value) }
      if source == .store, startDate != nil || onlyOpen != nil || !statuses.isEmpty {
        throw .permanent(
          "payload.discover: start_date, only_open and status are filters of the service's listing, not of the store's; leave them out, or ask for source \"api\""
        )
      }
    case .some(let other):
      throw .permanent("payload.discover must be true or an object, not \(other.typeName)")
    }
  }

  private mutating func read(_ name: String, _ value: JSON) throws(StageError) {
    switch (name, value) {
    case ("source", .string("api")): source = .api
    case ("source", .string("store")): source = .store
    case ("batch_size", .integer(let size)) where WorkizConfiguration.batchSizes.contains(Int(size)):
      batchSize = Int(size)
    case ("start_date", .string(let day)) where WorkizTime.isDay(day): startDate = day
    case ("only_open", .bool(let flag)): onlyOpen = flag
    case ("status", .string(let status)): statuses = [status]
    case ("status", .array(let list)) where list.allSatisfy({ $0.string != nil }):
      statuses = list.compactMap(\.string)
    case ("source", _):
      throw .permanent("payload.discover.source must be \"api\" or \"store\"")
    case ("batch_size", _):
      throw .permanent(
        "payload.discover.batch_size must be \(WorkizConfiguration.batchSizes.lowerBound) to \(WorkizConfiguration.batchSizes.upperBound)"
      )
    case ("start_date", _):
      throw .permanent("payload.discover.start_date must be a day as \"2026-01-31\"")
    case ("only_open", _):
      throw .permanent("payload.discover.only_open must be true or false, not \(value.typeName)")
    case ("status", _):
      throw .permanent("payload.discover.status must be a string or an array of strings")
    default:
      throw .permanent(
        "payload.discover.\(name) is not known; known are source, batch_size, start_date, only_open and status"
      )
    }
  }
}
