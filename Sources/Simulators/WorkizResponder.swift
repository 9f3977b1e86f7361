import Foundation
import Hummingbird
import NIOCore
import Pipeline

/// Carries the connection to the responder, which has to close it for some faults.
struct SimulatorContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    channel = source.channel
  }
}

/// Answers as the service does: token first, then the limit, then the route.
struct WorkizResponder: HTTPResponder {
  private static let maximumBodyBytes = 65_536

  let settings: WorkizSimulatorSettings
  let world: WorkizWorld
  let log: ArrivalLog
  let stamps: ArrivalStamps
  let limiters: LimiterTable
  let today: Int64

  init(
    _ settings: WorkizSimulatorSettings, _ world: WorkizWorld, _ stamps: ArrivalStamps
  ) throws(SimulatorError) {
    self.settings = settings
    self.world = world
    self.stamps = stamps
    log = try ArrivalLog(settings, accounts: world.accounts.map(\.name))
    limiters = LimiterTable(settings)
    today = WorkizTimes.day(settings.today)!
  }

  func respond(to request: Request, context: SimulatorContext) async throws -> Response {
    let moment = stamps.moment(of: context.channel) ?? .now()
    let parts = request.uri.path.split(separator: "/").map { $0.removingPercentEncoding ?? "" }
    if parts == ["_simulator", "summary"] {
      return response(WorkizReply(status: 200, body: log.summary().bytes))
    }
    let isAPI = parts.count >= 3 && parts[0] == "api" && parts[1] == "v1"
    let account = isAPI ? world.account(token: parts[2]) : nil
    let arrival = log.arrive(account?.name, at: moment)
    let path = isAPI ? Array(parts.dropFirst(3)) : []
    let fault = account.flatMap {
      $0.name == settings.outage
        ? .unavailable
        : WorkizFault.chosen(
          seed: world.seed, account: $0.name, number: arrival.number, share: settings.faults)
    }
    let throttled = account.flatMap { throttle(arrival, $0.name) }
    var reply = throttled ?? .forbidden
    if !isAPI { reply = .unknownRoute }
    if throttled == nil, let account {
      reply = damaged(try await answer(request, path, account), by: fault)
    }
    let applied = throttled == nil ? fault : nil
    let isDropped = applied == .dropped
    log.record(
      arrival, route: route(request, path), uuid: path.count == 3 ? path[2] : nil,
      status: isDropped ? 0 : reply.status, fault: applied)
    try await delay(arrival, applied)
    if isDropped { try? await context.channel.close() }
    return response(reply)
  }

  private func throttle(_ arrival: ArrivalLog.Arrival, _ account: String) -> WorkizReply? {
    guard let wait = limiters.wait(account, at: arrival.moment.monotonicNanoseconds) else {
      return nil
    }
    var generator = SeededGenerator(seed: world.seed, "429", account, String(arrival.number))
    let form = generator.integer(0...3)
    return .throttled(retryAfterNanoseconds: form < 2 ? nil : wait, asDate: form == 3)
  }

  private func answer(
    _ request: Request, _ path: [String], _ account: WorkizWorld.Account
  ) async throws -> WorkizReply {
    if request.method == .post {
      let body = try? await request.body.collect(upTo: Self.maximumBodyBytes)
      let members = body.flatMap { try? JSON(parsing: Array($0.readableBytesView)) }
      return members?["auth_secret"]?.string == nil ? .missingSecret : .unknownRoute
    }
    guard request.method == .get, path.count >= 2, path[0] == "job" else { return .unknownRoute }
    switch (path[1], path.count) {
    case ("all", 2):
      let query = request.uri.queryParameters.map {
        (name: String($0.key), value: String($0.value))
      }
      guard let listing = WorkizListing(query, today: today) else { return .badInput }
      return listing.reply(world, account, settings.offsetUnit)
    case ("get", 3): return job(path[2], account)
    default: return .unknownRoute
    }
  }

  private func job(_ uuid: String, _ account: WorkizWorld.Account) -> WorkizReply {
    let isUUID = uuid.utf8.count == 6 && uuid.utf8.allSatisfy(Self.isUUIDByte)
    guard isUUID else { return .badInput }
    guard let job = account.job(uuid) else { return .deleted(.notFound) }
    if let deletion = job.deletion { return .deleted(deletion) }
    return .job(world.document(of: job, in: account))
  }

  private func damaged(_ reply: WorkizReply, by fault: WorkizFault?) -> WorkizReply {
    let interval = Int64(settings.intervalMilliseconds) * 1_000_000
    return switch fault {
    case .throttledSeconds: .throttled(retryAfterNanoseconds: interval)
    case .throttledDate: .throttled(retryAfterNanoseconds: interval, asDate: true)
    case .throttled: .throttled(retryAfterNanoseconds: nil)
    case .html520: .html520
    case .serverError: .serverError
    case .unavailable: WorkizReply(status: 503, body: [])
    // Half of nothing would be a whole answer: an empty one stays as it is.
    case .truncated: reply.truncated()
    case .dropped, .slow, nil: reply
    }
  }

  private func delay(_ arrival: ArrivalLog.Arrival, _ fault: WorkizFault?) async throws {
    var generator = SeededGenerator(
      seed: world.seed, "latency", arrival.account ?? "", String(arrival.number))
    let latency = settings.latencyMilliseconds
    let spread = latency == 0 ? 0 : generator.integer(latency / 2...latency * 3 / 2)
    let slow = fault == .slow ? WorkizFault.slowMilliseconds : 0
    if spread + slow > 0 { try await Task.sleep(for: .milliseconds(spread + slow)) }
  }

  private func response(_ reply: WorkizReply) -> Response {
    var headers: HTTPFields = [.contentType: reply.contentType]
    if let retryAfter = reply.retryAfter { headers[.retryAfter] = retryAfter }
    if reply.body.isEmpty { headers = [:] }
    return Response(
      status: .init(code: reply.status), headers: headers,
      body: reply.body.isEmpty ? .init() : .init(byteBuffer: ByteBuffer(bytes: reply.body)))
  }

  private func route(_ request: Request, _ path: [String]) -> String {
    let known = path.prefix(2).joined(separator: "/")
    let isKnown = ["job/all", "job/get"].contains(known)
    return "\(request.method.rawValue) \(isKnown ? known : "other")"
  }

  private static func isUUIDByte(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte)
  }
}
