/// The name that `text` was probably meant to be; nil when none is near.
func nearest(to text: String, among names: [String]) -> String? {
  // A forgotten unit is the likeliest slip of all.
  if let whole = names.first(where: { $0.hasPrefix(text + "_") }) { return whole }
  let ranked = names.map { (name: $0, distance: editDistance($0, text)) }
  guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
  // A third of the letters wrong still reads as a slip; more is another word.
  return best.distance <= max(1, min(text.count, best.name.count) / 3) ? best.name : nil
}

/// Letters to insert, delete or replace to make one text from the other (Levenshtein).
func editDistance(_ left: String, _ right: String) -> Int {
  let right = Array(right)
  var row = Array(0...right.count)
  for (i, letter) in left.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in right.indices {
      let replaced = diagonal + (letter == right[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[right.count]
}
