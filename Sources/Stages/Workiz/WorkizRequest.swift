import Foundation

/// A request to the service, without the token that goes into its path.
enum WorkizRequest: Sendable, Equatable {
  case job(uuid: String)
  /// `offset` in the unit that the service counts.
  case jobs(WorkizDiscovery, offset: Int)

  /// The largest page that the service gives (FACTS.md section 1).
  static let recordsPerPage = 100

  /// Whether `text` is a job's UUID as the service makes them: six characters A–Z and 0–9. Nothing else
  /// is put into a path.
  static func isUUID(_ text: String) -> Bool {
    text.utf8.count == 6
      && text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
  }

  /// The full address. It holds the token: it goes to the HTTP client and nowhere else.
  func url(base: String, token: String) -> String {
    let root = base.hasSuffix("/") ? String(base.dropLast()) : base
    let start = "\(root)/\(Self.encode(token))/job"
    switch self {
    case .job(let uuid): return "\(start)/get/\(uuid)/"
    case .jobs(let discovery, let offset):
      var query = ["offset=\(offset)", "records=\(Self.recordsPerPage)"]
      if let day = discovery.startDate { query.append("start_date=\(Self.encode(day))") }
      if let flag = discovery.onlyOpen { query.append("only_open=\(flag)") }
      query += discovery.statuses.map { "status=\(Self.encode($0))" }
      return "\(start)/all/?\(query.joined(separator: "&"))"
    }
  }

  /// Percent-encodes all but the unreserved characters of RFC 3986.
  static func encode(_ text: String) -> String {
    let unreserved = CharacterSet(
      charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
  }
}
