using EventVault.Node.Metrics;

namespace EventVault.Node.Tests.Metrics;

public sealed class PrometheusTextTests
{
    [Fact]
    public void The_text_is_what_the_formats_say()
    {
        var sizes = new Distribution(unit: 1);
        sizes.Record(2, times: 3);
        sizes.Record(3);
        sizes.Record(long.MaxValue / 8);
        Metric[] metrics =
        [
            new("a.size", MetricKind.Counter, "By", "Bytes of \"a\\b\"\nand more", v => v.Add(1.5, "x\"y\\z\nw", "2")) { Labels = ["first", "second"] },
            new("a.share", MetricKind.Gauge, "1", "A share", v => v.Add(double.PositiveInfinity)),
            new("a.nothing", MetricKind.Gauge, "{a}", "Has no value now", static _ => { }),
            new("a.sizes", MetricKind.Histogram, "{a}", "Sizes", v => v.Add(sizes, 1, "one")) { Labels = ["label"] },
        ];

        var lines = PrometheusText.Write(metrics, openMetrics: false).Split('\n');

        Assert.Equal(
            [
                """# HELP a_size_bytes_total Bytes of "a\\b"\nand more""", "# TYPE a_size_bytes_total counter", """a_size_bytes_total{first="x\"y\\z\nw",second="2"} 1.5""",
                "# HELP a_share_ratio A share", "# TYPE a_share_ratio gauge", "a_share_ratio +Inf",
                "# HELP a_sizes Sizes", "# TYPE a_sizes histogram", """a_sizes_bucket{label="one",le="1"} 0""", """a_sizes_bucket{label="one",le="2"} 3""", """a_sizes_bucket{label="one",le="3"} 4""",
            ],
            lines[..11]);
        Assert.Equal(["""a_sizes_bucket{label="one",le="+Inf"} 5""", $$"""a_sizes_sum{label="one"} {{(double)(9 + (long.MaxValue / 8)):R}}""", """a_sizes_count{label="one"} 5""", ""], lines[^4..]);

        // OpenMetrics names a counter without its suffix, says units, escapes quotes everywhere, and ends.
        var open = PrometheusText.Write(metrics, openMetrics: true);
        Assert.StartsWith(
            """
            # HELP a_size_bytes Bytes of \"a\\b\"\nand more
            # TYPE a_size_bytes counter
            # UNIT a_size_bytes bytes
            a_size_bytes_total{first=
            """, open, StringComparison.Ordinal);
        Assert.EndsWith("\n# EOF\n", open, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_has_all_labels_of_its_metric_or_the_program_is_wrong() =>
        Assert.ThrowsAny<Exception>(() => PrometheusText.Write([new("a", MetricKind.Gauge, "", "A", v => v.Add(1)) { Labels = ["b"] }], openMetrics: false));
}
