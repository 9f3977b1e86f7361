@testable import Redis

/// Whatever stands in a Redis URL: what is shown of it never holds the password, errors included.
func checkAddress(_ input: [UInt8]) throws {
  // An ordinary URL around an arbitrary password, and an arbitrary URL.
  let text = String(decoding: input, as: UTF8.self)
  _ = try? RedisConfiguration(url: text)
  let secret = "hunter2-hunter2"
  let url = "redis://user:\(secret)\(text)"
  do {
    let configuration = try RedisConfiguration(url: url)
    guard let password = configuration.password, password.contains(secret) else { return }
    for shown in [configuration.displayName, "\(configuration)", String(reflecting: configuration)]
    { try demand(!shown.contains(secret), "\(shown) shows the password") }
  } catch let error as RedisError {
    try demand(!error.message.contains(secret), "\(error.message) shows the password")
  }
}
