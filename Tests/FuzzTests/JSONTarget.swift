import Pipeline

/// What is read as JSON is written so that it is read alike, to the byte.
/// - Returns: nil for what is not JSON.
func checkJSON(_ input: [UInt8]) throws -> JSON? {
  guard let json = try? JSON(parsing: input) else { return nil }
  let bytes = json.bytes
  let again = try? JSON(parsing: bytes)
  try demand(again == json, "\(json) comes back as \(String(describing: again))")
  try demand(again?.bytes == bytes, "the bytes of \(json) change")
  return json
}
