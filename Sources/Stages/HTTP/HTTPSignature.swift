internal import Crypto
internal import Foundation

/// Shows an endpoint that a request comes from who knows the secret, and when it was made:
/// `X-Batchd-Signature: t=UNIX_SECONDS,v1=HEX`, where HEX is HMAC-SHA256, keyed with the secret, of `UNIX_SECONDS`, a dot
/// and the body as it came.
///
/// To verify: take `t` and `v1`; refuse a `t` more than five minutes from the own clock, so that an old request cannot be
/// sent again; compute the HMAC of `t + "." + body` over the raw bytes; compare in constant time.
struct HTTPSignature {
  private let seconds: Int
  private var hmac: HMAC<SHA256>

  init(secret: String, at moment: Date = .now) {
    seconds = Int(moment.timeIntervalSince1970)
    hmac = HMAC(key: SymmetricKey(data: Data(secret.utf8)))
    hmac.update(data: Data("\(seconds).".utf8))
  }

  mutating func update(_ bytes: [UInt8]) { hmac.update(data: bytes) }

  /// The header's value.
  var header: String {
    let digits = hmac.finalize().map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return "t=\(seconds),v1=\(digits.joined())"
  }
}
