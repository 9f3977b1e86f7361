import Pipeline
import Simulators
import Testing

@Suite struct WorkizRouteTests {
  @Test func getsAJobAsAnArrayOfOne() async throws {
    try await RunningSimulator.with { simulator in
      let job = try #require(simulator.world.accounts[0].jobs.first { $0.deletion == nil })
      let answer = try await simulator.api("acme", "job/get/\(job.uuid)/")
      #expect(answer.status == 200)
      #expect(answer.json?["flag"] == .bool(true))
      #expect(answer.json?["data"]?.array?.count == 1)
      #expect(answer.json?["data"]?.array?[0]["UUID"] == .string(job.uuid))
      #expect(try await simulator.api("acme", "job/get/\(job.uuid)").body == answer.body)
    }
  }

  @Test func tellsDeletedJobsInBothWays() async throws {
    try await RunningSimulator.with { simulator in
      let jobs = simulator.world.accounts[0].jobs
      let silent = try #require(jobs.first { $0.deletion == .noContent })
      let spoken = try #require(jobs.first { $0.deletion == .notFound })
      let first = try await simulator.api("acme", "job/get/\(silent.uuid)/")
      #expect(first.status == 204 && first.body.isEmpty)
      let second = try await simulator.api("acme", "job/get/\(spoken.uuid)/")
      #expect(second.status == 200 && second.json?["flag"] == .bool(false))
      #expect(second.json?["msg"] == .string("job Not Found"))
    }
  }

  @Test func answersErrorsAsTheServiceDoes() async throws {
    try await RunningSimulator.with { simulator in
      let forbidden = try await simulator.get("/api/v1/wrong/job/all/")
      #expect(forbidden.status == 403 && forbidden.json?["success"] == .bool(false))
      let bad = try await simulator.api("acme", "job/get/abc/")
      #expect(bad.status == 400 && bad.json?["data"] == .string("bad input parameter"))
      #expect(try await simulator.api("acme", "job/all/?offset=x").status == 400)
      #expect(try await simulator.api("acme", "job/all/?start_date=2026-02-30").status == 400)
      let unknown = try await simulator.api("acme", "team/all/")
      #expect(unknown.status == 404 && unknown.json?["msg"] == .string("Invalid end point"))
      let path = "/api/v1/sim-acme/job/create/"
      #expect(try await simulator.send("POST", path, "{}").status == 401)
      #expect(try await simulator.send("POST", path, #"{"auth_secret":"x"}"#).status == 404)
    }
  }

  @Test func listsNewestFirstAndHidesClosedJobsByDefault() async throws {
    try await RunningSimulator.with(.testing { $0.jobs = 80 }) { simulator in
      let jobs = simulator.world.accounts[0].jobs
      let all = try await simulator.api("acme", "job/all/?start_date=2020-01-01&only_open=false")
      let listed = all.json?["data"]?.array ?? []
      #expect(
        listed.compactMap { $0["UUID"]?.string } == jobs.filter { $0.deletion == nil }.map(\.uuid))
      let times = listed.compactMap { $0["JobDateTime"]?.string }
      #expect(times.count == 80 && times == times.sorted(by: >))
      let open = try await simulator.api("acme", "job/all/?start_date=2020-01-01")
      #expect(open.json?["found"] == .integer(Int64(jobs.count { $0.state == "open" })))
      let recent = try await simulator.api("acme", "job/all/?only_open=false")
      let oldest = recent.json?["data"]?.array?.last?["JobDateTime"]?.string
      #expect(
        try #require(oldest) >= "2026-03-01" && (recent.json?["data"]?.array?.count ?? 0) < 80)
      let done = try await simulator.api(
        "acme", "job/all/?start_date=2020-01-01&only_open=false&status=Done&status=Canceled")
      #expect(done.json?["found"] == .integer(Int64(jobs.count { $0.state == "closed" })))
      let empty = try await simulator.api("empty", "job/all/")
      #expect(empty.json?["data"] == .array([]) && empty.json?["has_more"] == .bool(false))
    }
  }

  @Test(arguments: WorkizSimulatorSettings.OffsetUnit.allCases)
  func pagesByRecordsOrPages(_ unit: WorkizSimulatorSettings.OffsetUnit) async throws {
    try await RunningSimulator.with(
      .testing {
        $0.jobs = 250
        $0.offsetUnit = unit
      }
    ) { simulator in
      var uuids: [String] = []
      for page in 0..<3 {
        let offset = unit == .pages ? page : page * 100
        let answer = try await simulator.api(
          "acme", "job/all/?start_date=2020-01-01&only_open=false&records=500&offset=\(offset)")
        #expect(answer.json?["has_more"] == .bool(page < 2))
        #expect(answer.json?["found"] == .integer(250))
        uuids += (answer.json?["data"]?.array ?? []).compactMap { $0["UUID"]?.string }
      }
      #expect(uuids.count == 250 && Set(uuids).count == 250)
    }
  }

  @Test func documentsHaveUnstableTypes() async throws {
    try await RunningSimulator.with(.testing { $0.jobs = 100 }) { simulator in
      let answer = try await simulator.api("acme", "job/all/?start_date=2020-01-01&only_open=false")
      let documents = answer.json?["data"]?.array ?? []
      for key in ["SerialId", "SecondPhone", "Unit", "Comments"] {
        #expect(Set(documents.compactMap { $0[key]?.typeName }).count > 1, "\(key)")
      }
      #expect(documents.contains { $0["item_cost"] == nil })
      #expect(documents.contains { $0["PaymentDueDate"] == .string("") })
    }
  }
}
