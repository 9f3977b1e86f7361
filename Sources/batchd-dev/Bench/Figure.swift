/// One measured figure.
struct Figure: Encodable {
  /// What the project promises of it.
  struct Target: Encodable {
    let atLeast: Double?
    let atMost: Double?

    static func atLeast(_ value: Double) -> Target { Target(atLeast: value, atMost: nil) }
    static func atMost(_ value: Double) -> Target { Target(atLeast: nil, atMost: value) }

    func isMet(by value: Double) -> Bool {
      value >= atLeast ?? -.infinity && value <= atMost ?? .infinity
    }
  }

  let workload: String
  let name: String
  let value: Double
  let unit: String
  var target: Target?
  var isMet: Bool?

  init(
    _ workload: String, _ name: String, _ value: Double, _ unit: String, _ target: Target? = nil
  ) {
    self.workload = workload
    self.name = name
    self.value = value
    self.unit = unit
    self.target = target
    isMet = target?.isMet(by: value)
  }
}
