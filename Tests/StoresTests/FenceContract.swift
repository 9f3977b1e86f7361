import Pipeline
import Stores
import Testing

@Suite struct FenceContract {
  @Test(arguments: StoreKind.allCases) func identityStaysAndTheEpochOnlyGrows(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let first = try await subject.open()
      let identity = try await first.identity()
      #expect(!identity.isEmpty)
      #expect(try await first.epoch() == 0)
      try await first.raise(epoch: 3)
      let second = try await subject.open()
      try await second.raise(epoch: 2)
      #expect(try await first.epoch() == 3)
      #expect(try await second.identity() == identity)
      try await first.close()
      try await second.close()
      let third = try await subject.open()
      #expect(try await third.epoch() == 3)
      #expect(try await third.identity() == identity)
      try await third.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func fencesCompareByEpochThenCounter(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(.sample(fence: 1, 5))
      try await store.raise(.sample(fence: 1, 5))
      #expect(try await refusal { try await store.raise(.sample(fence: 1, 4)) } == .fenced)
      try await store.raise(.sample(fence: 1, 6))
      try await store.raise(.sample(fence: 2, 1))
      #expect(try await refusal { try await store.raise(.sample(fence: 1, 99)) } == .fenced)
      #expect(
        try await subject.rows("SELECT fence_epoch, fence_counter FROM batches") == ["2|1"])
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func aZombieIsRefusedBeforeTheNewHolderWrites(
    kind: StoreKind
  ) async throws {
    try await Subject.with(kind) { subject in
      let zombie = try await subject.open()
      let holder = try await subject.open()
      try await zombie.raise(.sample(fence: 1, 1))
      #expect(try await zombie.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1)
      try await holder.raise(.sample(fence: 1, 2))
      let refused = try await refusal {
        _ = try await zombie.upsert(
          [.sample("AAAAAA", status: "Done"), .sample("BBBBBB")], for: .sample(fence: 1, 1))
      }
      #expect(refused == .fenced)
      #expect(try await subject.rows("SELECT uuid, status FROM jobs") == ["AAAAAA|Submitted"])
      #expect(try await holder.upsert([.sample("BBBBBB")], for: .sample(fence: 1, 2)) == 1)
      try await zombie.close()
      try await holder.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func aWriteNeedsTheVeryFenceOfTheRow(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      func write(_ job: StageJob) async throws -> StoreError.Code? {
        try await refusal { _ = try await store.upsert([.sample("AAAAAA")], for: job) }
      }
      #expect(try await write(.sample(fence: 1, 5)) == .fenced, "no fence was raised")
      try await store.raise(.sample(fence: 1, 5))
      #expect(try await write(.sample(fence: 1, 4)) == .fenced)
      #expect(try await write(.sample(fence: 1, 6)) == .fenced)
      #expect(try await write(.sample(fence: 2, 5)) == .fenced)
      #expect(try await write(.sample(run: 2, fence: 1, 5)) == .fenced)
      #expect(
        try await refusal { _ = try await store.upsert([], for: .sample(fence: 1, 4)) } == .fenced,
        "a call without documents still tells the worker")
      #expect(try await subject.rows("SELECT * FROM jobs").isEmpty)
      #expect(try await write(.sample(fence: 1, 5)) == nil)
      try await store.close()
    }
  }

  @Test(arguments: StoreKind.allCases) func anEndedRunTakesNoMoreWrites(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(.sample(fence: 1, 1))
      // Cancelled while its worker was away: nobody holds a greater fence.
      try await store.record([.sample(status: "cancelled")])
      #expect(try await refusal { try await store.raise(.sample(fence: 1, 1)) } == .fenced)
      #expect(
        try await refusal {
          _ = try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1))
        }
          == .fenced)
      #expect(try await subject.rows("SELECT status FROM batches") == ["cancelled"])
      // A Redis that lost its newest writes runs the same run again, under a new epoch.
      try await store.raise(.sample(fence: 2, 1))
      #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 2, 1)) == 1)
      try await store.record([.sample(status: "cancelled")])
      #expect(try await subject.rows("SELECT status FROM batches") == ["cancelled"])
      try await store.close()
    }
  }

  /// Two on one record would adopt each other's Redis for ever.
  @Test(arguments: StoreKind.allCases) func eachPrefixHasEpochsOfItsOwn(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(epoch: 5, of: "{a}")
      #expect(try await store.epoch(of: "{b}") == 5, "its fences must be greater than others' were")
      try await store.raise(epoch: 6, of: "{b}")
      #expect(try await store.epoch(of: "{a}") == 5)
      #expect(try await store.epoch(of: "{b}") == 6)
      try await store.raise(epoch: 7, of: "{a}")
      #expect(try await store.epoch(of: "{b}") == 6)
      #expect(try await store.epoch(of: "{c}") == 7)
      try await store.close()
    }
  }

  /// A worker of release 0.1.0 raises the one record that it knows.
  @Test(arguments: StoreKind.allCases) func anEpochOfTheReleaseBeforeCountsForTheOnlyPrefix(
    kind: StoreKind
  ) async throws {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(epoch: 2, of: "batchd")
      #expect(try await subject.rows("SELECT epoch FROM batchd_store") == ["2"])
      _ = try await subject.rows("UPDATE batchd_store SET epoch = 4")
      #expect(try await store.epoch(of: "batchd") == 4)
      try await store.raise(epoch: 3, of: "batchd")
      #expect(try await store.epoch(of: "batchd") == 4)
      try await store.close()
    }
  }

  /// After a change of the prefixes an account, and the ids of its batches, are under another one, whose epochs may be lower.
  @Test(arguments: StoreKind.allCases) func anEndedBatchOfAnotherPrefixIsTakenOver(kind: StoreKind)
    async throws
  {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(.sample(fence: 9, 9), prefix: "{a}")
      let refused = await #expect(throws: StoreError.self) {
        try await store.raise(.sample(fence: 1, 1), prefix: "{b}")
      }
      #expect(refused?.code == .taken, "it is not lost: it waits")
      #expect(refused?.message.contains("unfinished under the prefix {a}") == true)
      #expect(
        try await refusal { try await store.raise(.sample(fence: 9, 9), prefix: "{b}") } == .taken)
      #expect(
        try await refusal { try await store.raise(.sample(fence: 10, 1), prefix: "{b}") } == .taken,
        "nor by a greater fence")
      #expect(
        try await refusal {
          try await store.raise(.sample(fence: 1, 1), prefix: "{b}", forgotten: "{c}")
        } == .taken)
      try await store.record([.sample()])
      try await store.raise(.sample(fence: 1, 1), prefix: "{b}")
      #expect(
        try await refusal { try await store.raise(.sample(fence: 1, 0), prefix: "{b}") }
          == .fenced, "of its own prefix the greater counts")
      #expect(
        try await refusal {
          _ = try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 9, 9))
        } == .fenced)
      #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1)
      try await store.close()
    }
  }

  /// Its Redis was emptied: nobody would ever end it.
  @Test(arguments: StoreKind.allCases) func aBatchThatItsPrefixHasForgottenIsTakenOver(
    kind: StoreKind
  ) async throws {
    try await Subject.with(kind) { subject in
      let store = try await subject.open()
      try await store.raise(.sample(fence: 9, 9), prefix: "{a}")
      try await store.raise(.sample(fence: 1, 1), prefix: "{b}", forgotten: "{a}")
      #expect(try await store.upsert([.sample("AAAAAA")], for: .sample(fence: 1, 1)) == 1)
      try await store.close()
    }
  }
}
