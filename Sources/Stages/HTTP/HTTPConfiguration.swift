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

  func validate() throws(StagesError) {
    func require(_ condition: Bool, _ message: String) throws(StagesError) {
      if !condition { throw StagesError(.configuration, "http: \(message)") }
    }
    let parts = URLComponents(string: url)
    try require(
      ["http", "https"].contains(parts?.scheme ?? "") && parts?.host?.isEmpty == false
        && parts?.user == nil && parts?.fragment == nil,
      "url must be an http or https address without a user, as https://example.com/detect")
    for name in headers.keys.sorted() {
      try require(
        name.wholeMatch(of: /[!#$%&'*+.^_`|~0-9A-Za-z-]+/) != nil,
        "'\(name.printable(40))' cannot be the name of a header")
      try require(!Self.own.contains(name.lowercased()), "header \(name) is set by batchd itself")
      try require(
        !(headers[name] ?? "").unicodeScalars.contains { $0.value < 32 || $0.value == 127 },
        "header \(name) has a control character in its value")
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
