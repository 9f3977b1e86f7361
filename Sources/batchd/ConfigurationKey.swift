internal import TOMLKit

/// One key of a table of the configuration file: how it is read into `Target`, and shown again.
struct ConfigurationKey<Target> {
  let name: String
  /// Puts the value into the target; returns what is wrong with it, or nil. Relative paths start
  /// from the given directory.
  let read: (_ value: any TOMLValueConvertible, _ directory: String, inout Target) -> String?
  /// The value as TOML text; nil when there is nothing to show.
  let show: (Target) -> String?
  /// A key that exists only to explain why it must not be used.
  var isRefused = false
}

extension ConfigurationKey {
  /// An integer within `range`; `unit` is what it counts ("milliseconds").
  static func integer(
    _ name: String, _ field: WritableKeyPath<Target, Int>, _ range: ClosedRange<Int>, _ unit: String
  ) -> Self {
    let rule = "must be an integer from \(range.lowerBound) to \(range.upperBound) (\(unit))"
    return Self(name: name) { value, _, target in
      guard let number = value.int else { return "\(rule), not \(typeName(value))" }
      guard range.contains(number) else { return "\(rule), not \(number)" }
      target[keyPath: field] = number
      return nil
    } show: {
      String($0[keyPath: field])
    }
  }

  static func boolean(_ name: String, _ field: WritableKeyPath<Target, Bool>) -> Self {
    Self(name: name) { value, _, target in
      guard let flag = value.bool else { return "must be true or false, not \(typeName(value))" }
      target[keyPath: field] = flag
      return nil
    } show: {
      String($0[keyPath: field])
    }
  }

  /// A text that `check` accepts; `check` returns what is wrong with it.
  static func string(
    _ name: String, _ field: WritableKeyPath<Target, String>,
    check: @escaping (String) -> String? = { $0.isEmpty ? "must not be empty" : nil }
  ) -> Self {
    Self(name: name) { value, _, target in
      guard let text = value.string else { return "must be a string, not \(typeName(value))" }
      if let wrong = check(text) { return wrong }
      target[keyPath: field] = text
      return nil
    } show: {
      tomlString($0[keyPath: field])
    }
  }

  /// A text that `check` accepts, or `""` for none.
  static func optional(
    _ name: String, _ field: WritableKeyPath<Target, String?>,
    check: @escaping (String) -> String? = { _ in nil }
  ) -> Self {
    Self(name: name) { value, _, target in
      guard let text = value.string else { return "must be a string, not \(typeName(value))" }
      if !text.isEmpty, let wrong = check(text) { return wrong }
      target[keyPath: field] = text.isEmpty ? nil : text
      return nil
    } show: {
      tomlString($0[keyPath: field] ?? "")
    }
  }

  static func path(_ name: String, _ field: WritableKeyPath<Target, String>) -> Self {
    let key = string(name, field)
    return Self(name: name) { value, directory, target in
      if let wrong = key.read(value, directory, &target) { return wrong }
      target[keyPath: field] = absolute(target[keyPath: field], from: directory)
      return nil
    } show: {
      key.show($0)
    }
  }

  static func optionalPath(_ name: String, _ field: WritableKeyPath<Target, String?>) -> Self {
    let key = optional(name, field)
    return Self(name: name) { value, directory, target in
      if let wrong = key.read(value, directory, &target) { return wrong }
      target[keyPath: field] = target[keyPath: field].map { absolute($0, from: directory) }
      return nil
    } show: {
      key.show($0)
    }
  }

  /// One of the cases of an enum, written as its raw value.
  static func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ name: String, _ field: WritableKeyPath<Target, Choice>
  ) -> Self {
    let rule =
      "must be " + Choice.allCases.map { tomlString($0.rawValue) }.joined(separator: " or ")
    return Self(name: name) { value, _, target in
      guard let text = value.string else { return "\(rule), not \(typeName(value))" }
      guard let choice = Choice(rawValue: text) else { return "\(rule), not \(tomlString(text))" }
      target[keyPath: field] = choice
      return nil
    } show: {
      tomlString($0[keyPath: field].rawValue)
    }
  }

  /// One of the cases of an enum; not given is nil.
  static func optionalChoice<Choice: RawRepresentable<String> & CaseIterable>(
    _ name: String, _ field: WritableKeyPath<Target, Choice?>
  ) -> Self {
    let rule =
      "must be " + Choice.allCases.map { tomlString($0.rawValue) }.joined(separator: " or ")
    return Self(name: name) { value, _, target in
      guard let text = value.string else { return "\(rule), not \(typeName(value))" }
      guard let choice = Choice(rawValue: text) else { return "\(rule), not \(tomlString(text))" }
      target[keyPath: field] = choice
      return nil
    } show: {
      $0[keyPath: field].map { tomlString($0.rawValue) }
    }
  }

  /// A list of texts; `check` returns what is wrong with one, `checkAll` what with all together.
  static func names(
    _ name: String, _ field: WritableKeyPath<Target, [String]>,
    check: @escaping (String) -> String?, checkAll: @escaping ([String]) -> String? = { _ in nil }
  ) -> Self {
    Self(name: name) { value, _, target in
      guard let array = value.array else {
        return "must be an array of strings, not \(typeName(value))"
      }
      var texts: [String] = []
      for element in array {
        guard let text = element.string else {
          return "must be an array of strings, not of \(typeName(element))"
        }
        if let wrong = check(text) { return wrong }
        texts.append(text)
      }
      if let wrong = checkAll(texts) { return wrong }
      target[keyPath: field] = texts
      return nil
    } show: {
      "[\($0[keyPath: field].map(tomlString).joined(separator: ", "))]"
    }
  }

  /// A program and its arguments; a program with a slash in its name starts from the directory.
  static func command(_ name: String, _ field: WritableKeyPath<Target, [String]>) -> Self {
    let key = names(name, field) { $0.contains("\0") ? "must not hold a NUL character" : nil }
    return Self(name: name) { value, directory, target in
      if value.string != nil {
        return "must be an array of strings: the program and each of its arguments, as no shell "
          + "takes it apart; with one: [\"sh\", \"-c\", \"…\"]"
      }
      if let wrong = key.read(value, directory, &target) { return wrong }
      guard let program = target[keyPath: field].first, !program.isEmpty else {
        return "must begin with a program"
      }
      if program.contains("/") { target[keyPath: field][0] = absolute(program, from: directory) }
      return nil
    } show: {
      key.show($0)
    }
  }

  /// A table of texts; `check` returns what is wrong with one.
  static func texts(
    _ name: String, _ field: WritableKeyPath<Target, [String: String]>,
    check: @escaping (_ name: String, _ value: String) -> String?
  ) -> Self {
    Self(name: name) { value, _, target in
      guard let table = value.table else {
        return "must be a table of strings, { NAME = \"…\" }, not \(typeName(value))"
      }
      var texts: [String: String] = [:]
      for name in table.keys {
        guard let text = table[name]?.string else {
          return "\(name) must be a string, not \(table[name].map(typeName) ?? "nothing")"
        }
        if let wrong = check(name, text) { return wrong }
        texts[name] = text
      }
      target[keyPath: field] = texts
      return nil
    } show: {
      let pairs = $0[keyPath: field].sorted { $0.key < $1.key }
        .map { "\(tomlKey($0.key)) = \(tomlString($0.value))" }
      return pairs.isEmpty ? "{}" : "{ \(pairs.joined(separator: ", ")) }"
    }
  }

  /// A key that people will try, and must not use.
  static func refused(_ name: String, _ reason: String) -> Self {
    Self(name: name, read: { _, _, _ in reason }, show: { _ in nil }, isRefused: true)
  }
}

/// The value's type as a message names it. Never the value: it may be a secret in the wrong place.
func typeName(_ value: any TOMLValueConvertible) -> String {
  switch value.type {
  case .table: "a table"
  case .array: "an array"
  case .string: "a string"
  case .int: "an integer"
  case .double: "a number with a fraction"
  case .bool: "a boolean"
  case .date, .time, .dateTime: "a date or time"
  }
}

/// `text` as a basic string of TOML.
func tomlString(_ text: String) -> String {
  var quoted = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"", "\\": quoted += "\\\(scalar)"
    case _ where scalar.properties.generalCategory == .control:
      let digits = String(scalar.value, radix: 16)
      quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: quoted.unicodeScalars.append(scalar)
    }
  }
  return quoted + "\""
}

/// `name` as a key of TOML.
func tomlKey(_ name: String) -> String {
  name.wholeMatch(of: /[A-Za-z0-9_-]+/) == nil ? tomlString(name) : name
}

/// A relative path starts from the directory of the file that names it, so that it means the same
/// wherever the process was started.
func absolute(_ path: String, from directory: String) -> String {
  if path.hasPrefix("/") || directory.isEmpty { return path }
  let rest = path.hasPrefix("./") ? path.dropFirst(2) : path[...]
  return rest == "." ? directory : "\(directory)/\(rest)"
}
