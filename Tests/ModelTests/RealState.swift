import Redis

/// Compares what Redis holds with the model's state: batches, lists with their stale ids, zsets, lane, counts.
enum RealState {
  private static let statuses: [ModelStatus] = [
    .pending, .processing, .retrying, .completed, .failed, .cancelled,
  ]

  /// What differs, one sentence each; empty when nothing does.
  static func differences(
    from model: ReferenceModel, on connection: RedisConnection
  ) async throws -> [String] {
    let expected = lists(of: model)
    var commands: [[RedisArgument]] = expected.map { ["LRANGE", .text($0.key), 0, -1] }
    commands.append(["ZRANGE", "b:leases", 0, -1])
    commands.append(["ZRANGE", "b:delayed", 0, -1])
    commands.append(["HMGET", "b:lanes", "w:A"])
    commands.append(["HMGET", "b:progress:op", "total"] + statuses.map { .text("\($0)") })
    for id in 1...3 {
      commands.append(
        ["HMGET", .text("b:batch:b\(id)"), "status", "place", "stage", "cancel", "crashes"])
    }
    let replies = try await connection.callAll(commands).map { $0.array?.map(\.text) ?? [] }
    var found: [String] = []
    func compare(_ what: String, _ model: String, _ redis: [String?]) {
      let redis = redis.map { $0 ?? "-" }.joined(separator: " ")
      if model != redis { found.append("\(what): the model has [\(model)], Redis [\(redis)]") }
    }
    for (list, reply) in zip(expected, replies) { compare(list.key, list.ids, reply.reversed()) }
    let at = expected.count
    compare("leases", members(model.leases), replies[at].sorted { ($0 ?? "") < ($1 ?? "") })
    compare("delayed", members(model.delayed), replies[at + 1].sorted { ($0 ?? "") < ($1 ?? "") })
    compare("lane", model.holder == 0 ? "-" : "b\(model.holder)", replies[at + 2])
    if model.counts.total > 0 { compare("counts", counts(of: model), replies[at + 3]) }
    for id in 1...3 where model[id].status != .absent {
      let fields = replies[at + 3 + id]
      let living = [fields[2], fields[3], fields[4] == "0" ? nil : fields[4]]
      compare("b\(id)", "\(model[id].status) \(place(of: id, in: model))", Array(fields[..<2]))
      if model[id].status.isLiving { compare("b\(id)", details(of: model[id]), living) }
    }
    return found
  }

  private static func lists(of model: ReferenceModel) -> [(key: String, ids: String)] {
    var lists = [("b:lane:w:A", names(model.lane))]
    for (index, stage) in RealProtocol.stages.enumerated() {
      lists.append(("b:queue:w:\(stage)", names(model.queues[index])))
      lists.append(("b:suspects:w:\(stage)", names(model.suspects[index])))
      for worker in 0..<2 {
        let intake = model.workers[worker].intakes[index]
        lists.append(("b:intake:w\(worker + 1):w:\(stage)", names(intake)))
      }
    }
    return lists
  }

  private static func names(_ list: IDList) -> String {
    list.ids.map { "b\($0)" }.joined(separator: " ")
  }

  private static func members(_ bits: UInt8) -> String {
    (1...3).filter { bits >> UInt8($0) & 1 == 1 }.map { "b\($0)" }.joined(separator: " ")
  }

  private static func counts(of model: ReferenceModel) -> String {
    ([Int(model.counts.total)] + statuses.map { model.counts[$0] }).map(String.init)
      .joined(separator: " ")
  }

  private static func place(of id: Int, in model: ReferenceModel) -> String {
    let stage = RealProtocol.stages[Int(model[id].stage)]
    return switch model[id].place {
    case .none: ""
    case .queue: "b:queue:w:\(stage)"
    case .suspects: "b:suspects:w:\(stage)"
    case .lane: "b:lane:w:A"
    case .leases: "b:leases"
    case .delayed: "b:delayed"
    }
  }

  private static func details(of batch: ModelBatch) -> String {
    let stage = RealProtocol.stages[Int(batch.stage)]
    let crashes = batch.crashes == 0 ? "-" : "\(batch.crashes)"
    return "\(stage) \(batch.isCancelling ? "1" : "-") \(crashes)"
  }
}
