internal import Pipeline
internal import Stores

/// A line of an export of jobs as a row of the store.
enum ImportedJob {
  /// Why a line is not one.
  struct Refusal: Error {
    let reason: String
  }

  /// What tells an imported document from a fetched one: the next fetch finds it changed, whatever it holds.
  static let contentHash = "import"

  /// - Parameters:
  ///   - account: of all lines; nil when the member `field` of each names it.
  static func document(
    _ members: [String: JSON], account: String?, field: String
  ) throws(Refusal) -> JobDocument {
    let members = members.mapValues(\.withoutMongoTypes)
    let name = account ?? members[field]?.string
    guard let name else {
      throw Refusal(
        reason: "no text in “\(field)”; name the account by --account or --account-field")
    }
    guard Identifier.isValid(name) else {
      throw Refusal(reason: "account “\(name)” must be \(Identifier.rule)")
    }
    var document = job(in: members)
    guard let uuid = (document["UUID"] ?? members["UUID"])?.string, Identifier.isValid(uuid) else {
      throw Refusal(reason: "no job: it has no UUID")
    }
    document["_id"] = nil
    if account == nil { document[field] = nil }
    return JobDocument(
      uuid: uuid, account: name, document: JSON.object(document).bytes, contentHash: contentHash)
  }

  /// The job as Workiz sent it. The systems before kept it as it is, as the answer's `data`, an array of one, or with that
  /// array spread into the record, under "0".
  private static func job(in members: [String: JSON]) -> [String: JSON] {
    for name in ["document", "data", "0"] {
      let value = members[name]
      if let job = value?.object ?? value?.array?.first?.object, job["UUID"] != nil { return job }
    }
    return members
  }
}
