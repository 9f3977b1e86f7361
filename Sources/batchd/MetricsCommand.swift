internal import ArgumentParser
internal import Queue
internal import Redis

/// `batchd metrics`
struct MetricsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metrics",
    abstract: "Print the metrics of the whole fleet for Prometheus.",
    discussion: """
      In the text format 0.0.4, from Redis alone: what waits, since when, how batches ended, and \
      what each worker measured until its last beat. One place is enough for all workers.

        batchd metrics
        batchd metrics --json | jq '.families[].name'

      For Prometheus: node_exporter's textfile collector and a script, which replaces the file as \
      a whole:

        #!/bin/sh
        cd /var/lib/prometheus/node-exporter
        batchd metrics >batchd.$$; mv batchd.$$ batchd.prom

      started by a line in /etc/cron.d, or by a systemd timer with OnCalendar=*:*:0/15:

        * * * * * root /usr/local/bin/batchd-metrics

      Without Redis batchd_up is 0, and nothing else is there. Of several prefixes each series \
      has the label prefix.

      Exit codes: 0 printed, 69 without Redis.
      """)

  @OptionGroup var common: CommonOptions

  private struct Answer: Encodable {
    let families: [MetricFamily]
  }

  func run() async throws {
    let configuration = try common.configuration()
    let names = common.names(configuration)
    var found: [(prefix: String, families: [MetricFamily])] = []
    var failure: (any Error)?
    for prefix in names {
      do {
        let control = try await common.connect(configuration, to: prefix)
        found.append((prefix, try await control.metrics()))
      } catch {
        let isRedis = (error as? RedisError).map { $0.code != .configuration }
        guard isRedis ?? (names.count > 1) else { throw error }
        found.append((prefix, Control.metricsWithoutRedis()))
        failure = error
      }
    }
    try show(names.count == 1 ? found[0].families : MetricFamily.merged(found))
    if let failure { throw failure }
  }

  private func show(_ families: [MetricFamily]) throws {
    if common.json {
      print(try CommonOptions.json(Answer(families: families)))
    } else {
      // Each line has its end already.
      print(MetricFamily.text(families), terminator: "")
    }
  }
}
