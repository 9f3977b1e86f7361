import Testing

@testable import Queue

@Suite struct MetricSeriesTests {
  @Test func whatIsWrittenIsRead() {
    let histogram = MetricSeries.Histogram(
      buckets: [.init(bound: "0.1", count: 0), .init(bound: "+Inf", count: 3)], sum: 1e-05)
    for (labels, text, value) in [
      ([:], "7", MetricSeries.Value.integer(7)),
      (["a": "b\\\"\n,}=", "c": ""], "0", .integer(0)),
      (["stage": "setup"], histogram.text, .histogram(histogram)),
    ] {
      let series = MetricSeries("x_total", labels, value)
      let field = labels.isEmpty ? "x_total{}" : MetricSeries.field("x_total", labels)
      #expect(MetricSeries(field: field, value: text) == series)
    }
  }

  @Test func onlyWhatHasLabelsIsASeries() {
    for field in [
      "finished", "a}", "{}", "a{b}", "a{b=\"c\",}", "a{b=\"c\"d}", "ä{}", "a{b=\"\\x\"}",
    ] {
      #expect(MetricSeries(field: field, value: "1") == nil, "\(field)")
    }
    for value in [
      "", "1.5", "x", "+Inf=1", "+Inf=1 sum=nan", "2=0 1=0 +Inf=0 sum=0", "+Inf=x sum=1",
    ] {
      #expect(MetricSeries(field: "a{}", value: value) == nil, "\(value)")
    }
  }
}
