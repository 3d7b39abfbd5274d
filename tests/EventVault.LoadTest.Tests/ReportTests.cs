using System.Text.Json;
using System.Xml.Linq;
using EventVault.LoadTest.Reports;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Tests;

public sealed class ReportTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void Every_report_says_that_a_run_is_not_valid()
    {
        var report = Report(lag: TimeSpan.FromMilliseconds(50));
        Assert.All(All(report), text => Assert.Matches("INVALID: the generator fell behind|the generator fell behind its schedule", text));
        Assert.All(All(report).Take(3), text => Assert.Contains("INVALID", text, StringComparison.Ordinal));
        Assert.False(JsonDocument.Parse(All(report)[3]).RootElement.GetProperty("scenarios")[0].GetProperty("generator").GetProperty("valid").GetBoolean());
        Assert.All(All(Report(lag: TimeSpan.Zero)), text => Assert.DoesNotContain("INVALID", text, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_report_shows_steps_failures_counts_findings_and_broken_thresholds()
    {
        Assert.All(All(Report(lag: TimeSpan.Zero)), text =>
        {
            foreach (var part in new[] { "first step", "TimeoutException", "conflicts", "missing", "at most 5 % of iterations fail" })
            {
                Assert.Contains(part, text, StringComparison.Ordinal);
            }
        });
        Assert.All(All(Report(lag: TimeSpan.Zero)).Take(3), text => Assert.Contains("BROKEN: at most 5 %", text, StringComparison.Ordinal));
    }

    [Fact]
    public void The_page_needs_nothing_but_itself_and_escapes_what_it_shows()
    {
        var html = HtmlReport.Of(Report(lag: TimeSpan.Zero));
        Assert.DoesNotContain("<script", html, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotMatch("(src|href)=|https?://|@import|url\\(", html);
        Assert.DoesNotContain("<b>bold", html, StringComparison.Ordinal);
        Assert.Contains("&lt;b&gt;bold", html, StringComparison.Ordinal);
        Assert.Equal(3, html.Split("<svg").Length - 1);
    }

    [Theory]
    [InlineData(false, false, false)]
    [InlineData(true, false, false)]
    [InlineData(true, true, false)]
    [InlineData(false, false, true)]
    public void Charts_are_well_formed_and_their_points_lie_in_the_frame(bool logarithmic, bool percentiles, bool logarithmicX)
    {
        var random = new Random(5);
        foreach (var count in new[] { 0, 1, 2, 50 })
        {
            var points = Enumerable.Range(0, count).Select(i => (percentiles ? 99.999 * i / 50 : i + 1, random.NextDouble() * 1e6)).ToList();
            var svg = XElement.Parse(new SvgChart("a < b", "s", "µs") { LogarithmicY = logarithmic, Percentiles = percentiles, LogarithmicX = logarithmicX, Lines = [new ChartLine("one & two", points), new ChartLine("zero", [(1, 0)])] }.ToString());
            var circles = svg.Elements("circle").ToList();
            Assert.Equal(count + (logarithmic ? 0 : 1), circles.Count);
            Assert.All(circles, c =>
            {
                Assert.InRange((double)c.Attribute("cx")!, 76, 504.1);
                Assert.InRange((double)c.Attribute("cy")!, 29.9, 200.1);
            });
        }
    }

    [Fact]
    public void The_json_holds_the_series_and_the_distribution()
    {
        var step = JsonDocument.Parse(TextReports.Json(Report(lag: TimeSpan.Zero))).RootElement.GetProperty("scenarios")[0].GetProperty("steps")[0];
        Assert.Equal(2, step.GetProperty("series").GetArrayLength());
        Assert.True(step.GetProperty("distribution").GetArrayLength() > 20);
        Assert.Equal(18, step.GetProperty("ok").GetInt64());
    }

    private static string[] All(RunReport report) => [TextReports.Console(report.Scenarios[0]), TextReports.Markdown(report), HtmlReport.Of(report), TextReports.Json(report)];

    private static RunReport Report(TimeSpan lag)
    {
        var clock = new VirtualClock { PostDelay = lag };
        var scenario = new Scenario
        {
            Name = "a | <b>bold</b> scenario",
            Description = "For reports.",
            Loads = [new Inject(10, Second, Second * 2)],
            Thresholds = [Threshold.FailedShare(0.05)],
            Run = async iteration =>
            {
                await iteration.StepAsync("first step", async () =>
                {
                    await clock.Delay(TimeSpan.FromMilliseconds(3));
                    return 7;
                }, n => n);
                iteration.Recording.Count("conflicts");
                _ = iteration.Number < 2 ? throw new TimeoutException() : 0;
            },
            Check = recording =>
            {
                recording.Found("missing", 3);
                return Task.CompletedTask;
            },
        };
        var result = clock.Run(() => new ScenarioRunner(clock).RunAsync(scenario));
        return new RunReport(new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc), "abc", "a machine", "run x", "a vault", [result]);
    }
}
