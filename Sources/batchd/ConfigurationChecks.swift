internal import Pipeline
internal import Queue
internal import TOMLKit
internal import Worker

/// Rules between settings: each alone is in its range, together they would not work.
extension Configuration {
  /// Reports every broken rule, with its reason.
  func check(_ reader: inout ConfigurationReader) {
    if worker.beatMilliseconds * 2 >= worker.leaseMilliseconds {
      reader.report(
        between: [["worker", "beat_ms"], ["worker", "lease_ms"]],
        "beat_ms (\(worker.beatMilliseconds)) must be less than half of lease_ms "
          + "(\(worker.leaseMilliseconds)): one lost renewal must not cost the lease")
    }
    if redis.callTimeoutMilliseconds >= worker.leaseMilliseconds {
      reader.report(
        between: [["redis", "call_timeout_ms"], ["worker", "lease_ms"]],
        "redis.call_timeout_ms (\(redis.callTimeoutMilliseconds)) must be less than "
          + "worker.lease_ms (\(worker.leaseMilliseconds)): a call that hangs must be given up "
          + "while the lease still holds")
    }
    if workiz.batchSize > limits.itemCount {
      reader.report(
        between: [["workiz", "batch_size"], ["limits", "item_count"]],
        "workiz.batch_size (\(workiz.batchSize)) must not be over limits.item_count "
          + "(\(limits.itemCount)): batchd would reject its own batches")
    }
    if limits.outputBytes > limits.batchOutputBytes {
      reader.report(
        between: [["limits", "output_bytes"], ["limits", "batch_output_bytes"]],
        "output_bytes (\(limits.outputBytes)) must not be over batch_output_bytes "
          + "(\(limits.batchOutputBytes)): one output is part of what its batch may have")
    }
    checkCertificates(&reader)
    checkPrefixes(&reader)
    checkStore(&reader)
    checkRetry(retry, at: ["retry"], &reader)
    checkPipelines(&reader)
    for (name, pipeline) in pipelines {
      for (stage, settings) in pipeline.stages {
        checkStage(settings, at: ["pipelines", name, stage.rawValue], &reader)
      }
    }
  }

  private func checkStage(
    _ stage: StageSettings, at path: [String], _ reader: inout ConfigurationReader
  ) {
    // A stage that only inherits what is wrong with [retry] is not wrong itself.
    if stage.retry != retry { checkRetry(stage.retry, at: path, &reader) }
    // Nor one that only inherits what is wrong with [limits].
    if stage.outputBytes > limits.batchOutputBytes, stage.outputBytes != limits.outputBytes {
      reader.report(
        between: [path + ["output_bytes"], ["limits", "batch_output_bytes"]],
        "output_bytes (\(stage.outputBytes)) must not be over limits.batch_output_bytes "
          + "(\(limits.batchOutputBytes)): one output is part of what its batch may have")
    }
    if stage.onDrain == .finish && worker.drainMilliseconds == 0 {
      reader.report(
        path + ["on_drain"],
        "\"finish\" needs worker.drain_ms over 0: with 0 a stopping worker waits for nothing")
    }
  }

  private func checkRetry(
    _ policy: RetryPolicy, at path: [String], _ reader: inout ConfigurationReader
  ) {
    guard policy.backoffMilliseconds > policy.capMilliseconds else { return }
    reader.report(
      between: [path + ["backoff_ms"], path + ["cap_ms"]],
      "backoff_ms (\(policy.backoffMilliseconds)) must not be over cap_ms "
        + "(\(policy.capMilliseconds)): the first backoff is the smallest")
  }

  private func checkStore(_ reader: inout ConfigurationReader) {
    if store.url != nil, reader.contains(["store", "path"]) {
      reader.report(
        ["store", "url"],
        "is one too many: store.path is given too; the one is a PostgreSQL database, the other an "
          + "SQLite file: use one of them")
    }
    if store.url == nil, let password = store.password {
      reader.report(
        ["store", "password_\(password.suffix)"],
        "is for PostgreSQL only: write store.url with postgresql://, or remove it")
    }
  }

  private func checkPrefixes(_ reader: inout ConfigurationReader) {
    if reader.contains(["prefix"]), reader.root["prefixes"]?.array?.isEmpty == false {
      reader.report(["prefixes"], "is one too many: prefix is given too; use one of them")
    }
    guard redis.url.contains("+cluster://"),
      let prefix = prefixes.names.first(where: { !$0.hasPrefix("{") })
    else { return }
    reader.report(
      between: [["prefixes"], ["prefix"], ["redis", "url"]],
      "prefix (\(prefix)) must be in braces on a Redis Cluster, which redis.url names: write "
        + (reader.contains(["prefixes"]) ? "" : "prefix = ")
        + "\"{\(prefix)}\", or its keys would be on several nodes and no function could use them")
  }

  private func checkCertificates(_ reader: inout ConfigurationReader) {
    let files = [
      ("ca_file", redis.caFile), ("certificate_file", redis.certificateFile),
      ("key_file", redis.keyFile),
    ]
    if !redis.url.contains("+sentinel://") {
      let given = [
        ("sentinel_user", redis.sentinelUser != nil),
        (
          "sentinel_password_\(redis.sentinelPassword?.suffix ?? "")", redis.sentinelPassword != nil
        ),
      ]
      for (name, isGiven) in given where isGiven {
        reader.report(
          ["redis", name],
          "is for Sentinels only: write redis.url with redis+sentinel://, or remove it")
      }
    }
    if !redis.url.hasPrefix("rediss") {
      for (name, file) in files where file != nil {
        reader.report(
          ["redis", name], "is for TLS only: write redis.url with rediss://, or remove it")
      }
    }
    if (redis.certificateFile == nil) != (redis.keyFile == nil) {
      reader.report(
        between: [["redis", "certificate_file"], ["redis", "key_file"]],
        "certificate_file and key_file are of use only together: the certificate is what the "
          + "server sees, the key proves it")
    }
  }
}
