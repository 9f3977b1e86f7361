internal import Foundation

/// How a stage calls an endpoint.
public struct HTTPConfiguration: Sendable {
  /// Where the input is posted: `http` or `https`.
  public var url: String
  /// Headers of each request, beside batchd's own.
  public var headers: [String: String] = [:]
  /// Signs each request (`HTTPSignature`) when it is set.
  public var signingSecret: String?
  /// Bytes of one answer.
  public var totalBytes = 1 << 30

  public init(url: String) { self.url = url }

  /// What only batchd sets.
  private static let own: Set = [
    "content-type", "content-length", "transfer-encoding", "host", "connection",
    "idempotency-key", "batchd-fence", "x-batchd-signature",
  ]

  /// What is wrong with a url, as it goes on after the name of the setting; nil when it can be called.
  public static func mistake(inURL url: String) -> String? {
    let parts = URLComponents(string: url)
    guard let parts, ["http", "https"].contains(parts.scheme ?? ""), parts.host?.isEmpty == false,
      parts.user == nil, parts.fragment == nil, !url.contains(where: \.isWhitespace)
    else { return "must be http://HOST/PATH or https://HOST/PATH, without a user" }
    // Foundation reads any number, and the sockets below only those.
    guard parts.port.map({ (1...65_535).contains($0) }) ?? true else {
      return "must have a port of 1 to 65535"
    }
    return nil
  }

  /// What is wrong with a header, which the text names; nil when it can be sent.
  public static func mistake(inHeader name: String, value: String) -> String? {
    guard name.wholeMatch(of: /[!#$%&'*+.^_`|~0-9A-Za-z-]+/) != nil else {
      return "\(name.printable(40)) is not the name of a header"
    }
    if own.contains(name.lowercased()) { return "\(name) is set by batchd itself" }
    return value.unicodeScalars.contains { $0.value < 32 || $0.value == 127 }
      ? "\(name) holds a control character" : nil
  }

  func validate() throws(StagesError) {
    func require(_ condition: Bool, _ message: String) throws(StagesError) {
      if !condition { throw StagesError(.configuration, "http: \(message)") }
    }
    if let mistake = Self.mistake(inURL: url) {
      throw StagesError(.configuration, "http: url \(mistake)")
    }
    for (name, value) in headers.sorted(by: { $0.key < $1.key }) {
      if let mistake = Self.mistake(inHeader: name, value: value) {
        throw StagesError(.configuration, "http: header \(mistake)")
      }
    }
    try require(signingSecret?.isEmpty != true, "the signing secret is empty")
    try require(totalBytes > 0, "total_bytes must be above 0, not \(totalBytes)")
  }

  /// The service as messages name it: its path and query may hold a token.
  var name: String {
    let parts = URLComponents(string: url)
    return (parts?.host ?? "") + (parts?.port.map { ":\($0)" } ?? "")
  }
}
