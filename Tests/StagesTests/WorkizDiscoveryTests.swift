import Pipeline
import Simulators
import Testing
import Worker

@testable import Stages

@Suite struct WorkizDiscoveryTests {
  private func job(
    payload: JSON? = nil, cursor: JSON? = nil, run: Int = 1, fence: Int = 1
  ) -> StageJob {
    Sample.job(
      items: [], stage: .setup, payload: payload, cursor: cursor, run: run,
      fence: Fence(epoch: 1, counter: fence))
  }

  private func page(_ uuids: [String], hasMore: Bool, found: Int = 0) -> JSON {
    .object([
      "data": .array(uuids.map { .object(["UUID": .string($0)]) }), "has_more": .bool(hasMore),
      "found": .integer(Int64(found)),
    ])
  }

  private func uuids(_ range: Range<Int>) -> [String] {
    range.map { "J" + String(10_000 + $0) }
  }

  private func message(_ work: () throws -> Void) -> String {
    do {
      try work()
      return "nothing thrown"
    } catch { return "\(error)" }
  }

  @Test func readsThePayload() throws {
    #expect(try WorkizDiscovery(payload: nil) == nil)
    #expect(try WorkizDiscovery(payload: .object(["discover": .bool(false)])) == nil)
    #expect(try WorkizDiscovery(payload: .object(["discover": .bool(true)])) != nil)
    let bad: [(JSON, String)] = [
      (.string("yes"), "payload.discover"), (.object(["since": .null]), "payload.discover.since"),
      (.object(["start_date": .string("2026-02-30")]), "start_date"),
      (.object(["only_open": .string("no")]), "only_open"),
      (.object(["status": .integer(1)]), "status"),
      (.object(["source": .string("cache")]), "source"),
      (.object(["batch_size": .integer(101)]), "batch_size"),
      (.object(["source": .string("store"), "only_open": .bool(true)]), "only_open"),
    ]
    for (value, name) in bad {
      let text = message { _ = try WorkizDiscovery(payload: .object(["discover": value])) }
      #expect(text.contains("permanent") && text.contains(name))
    }
  }

  @Test func makesBatchesWithDeterministicIds() throws {
    var configuration = WorkizConfiguration { _ in nil }
    configuration.batchSize = 40
    let payload = JSON.object(["discover": .bool(true), "note": .string("x")])
    var place = WorkizDiscoveryPlace(job(payload: payload))
    let first = try place.advance(
      page(uuids(0..<100), hasMore: true), of: job(payload: payload), configuration)
    #expect(first.map { $0["id"] } == ["b1.1-1.1", "b1.1-1.2", "b1.1-1.3"].map { .string($0) })
    #expect(first.map { $0["items"]?.array?.count } == [40, 40, 20])
    #expect(first[0]["operation"] == .string("op") && first[0]["account"] == .string("acme"))
    #expect(first[0]["payload"] == .object(["note": .string("x")]))
    #expect(place.offset(.records) == 100 && place.offset(.pages) == 1)

    // A crash resumes from the cursor, here with one job that a new one pushed over the page's end.
    var resumed = WorkizDiscoveryPlace(job(cursor: .object(place.cursor), run: 2, fence: 2))
    #expect(resumed == place)
    let second = try resumed.advance(
      page(uuids(99..<110), hasMore: false), of: job(run: 2, fence: 2), configuration)
    #expect(second.map { $0["id"] } == [.string("b1.1-1.4")])
    #expect(second[0]["items"]?.array?.count == 10 && second[0]["payload"] == nil)
    #expect(resumed.isDone && resumed.listed == 110)
    #expect(WorkizDiscoveryPlace(job(cursor: .object(resumed.cursor))).isDone)
  }

  /// Runs count from 1 again when an id is used anew after its retention, while a child that failed is still known.
  @Test(arguments: [1, 3]) func aNewLifeHasChildrenOfItsOwn(_ run: Int) throws {
    func children(_ job: StageJob) throws -> [JSON?] {
      var place = WorkizDiscoveryPlace(job)
      return try place.advance(
        page(uuids(0..<1), hasMore: false), of: job, WorkizConfiguration { _ in nil }
      ).map { $0["id"] }
    }
    #expect(try children(job()) == [.string("b1.1-1.1")])
    #expect(try children(job(run: run, fence: 9)) == [.string("b1.1-9.1")])
  }

  @Test func makesBatchesOfTheJobsThatTheStoreKnows() throws {
    let discovery = try #require(
      try WorkizDiscovery(
        payload: .object([
          "discover": .object(["source": .string("store"), "batch_size": .integer(4)])
        ])))
    #expect(discovery.source == .store && discovery.batchSize == 4)
    var place = WorkizDiscoveryPlace(job())
    let first = place.advance(known: uuids(0..<10), pageSize: 10, of: job(), batchSize: 4)
    #expect(first.map { $0["items"]?.array?.count } == [4, 4, 2])
    #expect(place.after == "J10009" && !place.isDone)
    var resumed = WorkizDiscoveryPlace(job(cursor: .object(place.cursor), run: 2, fence: 2))
    #expect(resumed == place)
    let second = resumed.advance(known: [], pageSize: 10, of: job(run: 2, fence: 2), batchSize: 4)
    #expect(second.isEmpty && resumed.isDone && resumed.after == "J10009" && resumed.listed == 10)
  }

  @Test func anAccountWithoutJobsIsDoneAtOnce() throws {
    var place = WorkizDiscoveryPlace(job())
    let children = try place.advance(
      page([], hasMore: false), of: job(), WorkizConfiguration { _ in nil })
    #expect(children.isEmpty && place.isDone)
  }

  @Test(arguments: WorkizSimulatorSettings.OffsetUnit.allCases)
  func listsEveryJobOnceOrNamesTheRightUnit(_ unit: WorkizSimulatorSettings.OffsetUnit) async throws
  {
    try await Simulated.with(
      .testing {
        $0.jobs = 250
        $0.offsetUnit = unit
      }
    ) { simulator, url in
      let live = Set(simulator.world.accounts[0].jobs.filter { $0.deletion == nil }.map(\.uuid))
      let right: WorkizConfiguration.OffsetUnit = unit == .pages ? .pages : .records
      let listed = try await Self.list(url, right)
      #expect(listed.sorted() == live.sorted())
      let wrong: WorkizConfiguration.OffsetUnit = unit == .pages ? .records : .pages
      do {
        _ = try await Self.list(url, wrong)
        Issue.record("the wrong unit went unnoticed")
      } catch StageError.permanent(let message) {
        #expect(message.contains("set offset_unit = \"\(right.rawValue)\""))
      }
    }
  }

  private static func list(
    _ url: String, _ unit: WorkizConfiguration.OffsetUnit
  ) async throws -> [String] {
    var configuration = WorkizConfiguration { _ in nil }
    configuration.baseURL = url
    configuration.offsetUnit = unit
    let client = try WorkizClient(configuration)
    let listed: Result<[String], any Error>
    do {
      listed = .success(try await list(client, configuration))
    } catch { listed = .failure(error) }
    try await client.close()
    return try listed.get()
  }

  private static func list(
    _ client: WorkizClient, _ configuration: WorkizConfiguration
  ) async throws -> [String] {
    let filter = JSON.object(["start_date": .string("2020-01-01"), "only_open": .bool(false)])
    let discovery = try #require(try WorkizDiscovery(payload: .object(["discover": filter])))
    let job = Sample.job(items: [], stage: .setup)
    var place = WorkizDiscoveryPlace(job)
    var uuids: [String] = []
    while !place.isDone {
      let request = WorkizRequest.jobs(discovery, offset: place.offset(configuration.offsetUnit))
      guard case .answered(let page) = try await client.send(request, token: "sim-acme").outcome
      else { throw SimulatedFailure() }
      for batch in try place.advance(page, of: job, configuration) {
        uuids += (batch["items"]?.array ?? []).compactMap(\.string)
      }
    }
    return uuids
  }
}
