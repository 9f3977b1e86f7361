import Pipeline

/// Tells a changed document from an unchanged one.
enum ContentHash {
  /// FNV-1a, 128 bits, over the document with sorted keys, as 32 hexadecimal digits. It guards against
  /// chance, not against an adversary: a document is only compared with its own earlier form.
  static func of(_ document: JSON) -> String {
    var hash: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
    for byte in document.bytes {
      hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 32 - digits.count) + digits
  }
}
