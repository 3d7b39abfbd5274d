using System.Diagnostics;
using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class ReadTests
{
    [Fact]
    public async Task An_empty_vault_has_a_head_of_null_and_nothing_to_read()
    {
        await using var node = await TestNode.NewAsync();
        var status = (await node.RunAsync("status")).MustBe(0).Json;
        Assert.Equal("head", status.EnumerateObject().First().Name);
        Assert.Equal(JsonValueKind.Null, status.GetProperty("head").ValueKind);
        Assert.Equal(JsonValueKind.Null, (await node.RunAsync("info")).MustBe(0).Json.GetProperty("head").ValueKind);
        Assert.Empty((await node.RunAsync("read", "--all")).MustBe(0).Stdout);
        Assert.Equal("STREAM_NOT_FOUND", (await node.RunAsync("read", "nothing")).MustBe(1).ErrorCode);
        Assert.Equal("STREAM_NOT_FOUND", (await node.RunAsync("streams", "show", "nothing")).MustBe(1).ErrorCode);
        Assert.Empty((await node.RunAsync("streams", "ls")).MustBe(0).Stdout);
    }

    [Fact]
    public async Task An_event_comes_back_with_every_field()
    {
        await using var node = await TestNode.NewAsync();
        const string data = """{"n":1.10,"big":123456789012345678901234567890,"s":"a b","a":[1,{}],"a":2}""";
        (await node.RunAsync(
            "append", "full-1", "--type", "Æ", "--data", data.Replace(":", " : ", StringComparison.Ordinal) + "\n", "--tag", "x", "--tag", "y",
            "--metadata", "correlationId=c=1", "--schema-version", "3", "--occurred-at", "2009-03-22T10:30:00.1234567+01:00", "--id", "92DCC1BE-40BF-5D74-998D-DAEB3835C277")).MustBe(0);
        var result = (await node.RunAsync("read", "full-1")).MustBe(0);
        var e = result.Json;
        Assert.Equal(
            ["stream", "version", "position", "recordedAt", "occurredAt", "type", "id", "data", "metadata", "tags", "schemaVersion"],
            e.EnumerateObject().Select(p => p.Name));
        Assert.Equal("full-1", e.GetProperty("stream").GetString());
        Assert.Equal("0", e.GetProperty("version").GetRawText());
        Assert.Equal("0", e.GetProperty("position").GetRawText());
        Assert.Equal("2009-03-22T09:30:00.1234567Z", e.GetProperty("occurredAt").GetString());
        Assert.Equal("92dcc1be-40bf-5d74-998d-daeb3835c277", e.GetProperty("id").GetString());
        Assert.Equal("Æ", e.GetProperty("type").GetString());

        // Nested and compact, with digits, order and repeated names as they were.
        Assert.Equal(data, e.GetProperty("data").GetRawText());
        Assert.Equal("""{"correlationId":"c=1"}""", e.GetProperty("metadata").GetRawText());
        Assert.Equal("""["x","y"]""", e.GetProperty("tags").GetRawText());
        Assert.DoesNotContain('\u001b', result.Stdout);
    }

    [Fact]
    public async Task Data_that_is_no_JSON_comes_as_base64_and_absent_fields_as_null_or_empty()
    {
        await using var node = await TestNode.NewAsync();
        (await node.RunAsync("append", "b", "--type", "T", "--data", "{\"not\": closed", "--content-type", "text/plain")).MustBe(0);
        var e = (await node.RunAsync("read", "b")).MustBe(0).Json;
        Assert.Equal("{\"not\": closed"u8, e.GetProperty("dataBase64").GetBytesFromBase64());
        Assert.False(e.TryGetProperty("data", out _));
        Assert.Equal("text/plain", e.GetProperty("contentType").GetString());
        Assert.Equal(JsonValueKind.Null, e.GetProperty("occurredAt").ValueKind);
        Assert.Equal("{}", e.GetProperty("metadata").GetRawText());
        Assert.Equal("[]", e.GetProperty("tags").GetRawText());
    }

    [Fact]
    public async Task Ranges_directions_limits_times_lists_and_tails()
    {
        await using var node = await TestNode.NewAsync();
        await ImportAsync(node, 12);
        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], await PositionsAsync(node, "read", "--all"));
        Assert.Equal([3, 4, 5], await PositionsAsync(node, "read", "--all", "--from", "3", "--limit", "3"));
        Assert.Equal([3, 4], await PositionsAsync(node, "read", "--all", "--from", "3", "--until", "4"));
        Assert.Equal([11, 10], await PositionsAsync(node, "read", "--all", "--backwards", "--limit", "2"));
        Assert.Equal([2, 1, 0], await PositionsAsync(node, "read", "--all", "--from", "2", "--backwards"));
        Assert.Equal([4, 7, 10], await PositionsAsync(node, "read", "s-1", "--from", "1"));
        Assert.Equal([], await PositionsAsync(node, "read", "--all", "--from", "18446744073709551615"));

        var time = (await node.RunAsync("read", "--all", "--from", "6", "--limit", "1")).Json.GetProperty("recordedAt").GetString()!;
        Assert.Equal([6, 7, 8, 9, 10, 11], await PositionsAsync(node, "read", "--all", "--from-time", time));
        Assert.Equal([0, 1, 2, 3, 4, 5, 6], await PositionsAsync(node, "read", "--all", "--until-time", time));

        var streams = (await node.RunAsync("streams", "ls", "--prefix", "s-")).MustBe(0).Lines;
        Assert.Equal(["s-0", "s-1", "s-2"], streams.Select(s => s.GetProperty("stream").GetString()));
        Assert.Equal([3, 3, 3], streams.Select(s => s.GetProperty("lastVersion").GetInt32()));
        Assert.Equal(10, (await node.RunAsync("streams", "show", "s-1")).MustBe(0).Json.GetProperty("lastPosition").GetInt32());
        Assert.Equal([9, 10, 11], await PositionsAsync(node, "tail", "--all", "--from", "9", "--limit", "3"));
    }

    [Fact]
    public async Task Tail_shows_what_is_appended_from_now_on_and_ends_with_0_on_SIGTERM_and_SIGINT()
    {
        await using var node = await TestNode.NewAsync();
        await ImportAsync(node, 3);
        foreach (var signal in TestNode.EndingSignals)
        {
            using var tail = AdminProcess.Start("tail", "new", "--endpoint", node.Endpoint, "--json");
            Assert.Contains("Following new", await tail.StandardError.ReadLineAsync(), StringComparison.Ordinal);
            var id = Guid.NewGuid();
            (await node.RunAsync("append", "other", "--type", "T", "--data", "{}")).MustBe(0);
            (await node.RunAsync("append", "new", "--type", "T", "--data", "{}", "--id", id.ToString())).MustBe(0);
            var line = await tail.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(1));
            Assert.Equal(id, JsonDocument.Parse(line!).RootElement.GetProperty("id").GetGuid());
            await TestNode.SignalAsync(signal, tail);
            (await AdminProcess.EndAsync(tail)).MustBe(0);
        }
    }

    [Fact]
    public async Task Tail_says_when_its_node_is_away_and_goes_on_without_a_gap()
    {
        await using var node = await TestNode.NewAtAsync(TestNode.FreePort());
        using var tail = AdminProcess.Start("tail", "--all", "--endpoint", node.Endpoint, "--json");
        Assert.Contains("Following all streams", await LineAsync(tail.StandardError), StringComparison.Ordinal);
        (await node.RunAsync("append", "s", "--type", "T", "--data", "1")).MustBe(0);
        Assert.Equal(0, PositionOf(await LineAsync(tail.StandardOutput)));
        Assert.Equal(0, await node.StopAsync());
        Assert.Contains("Nothing comes until a node answers again", await LineAsync(tail.StandardError), StringComparison.Ordinal);
        await node.StartAsync();
        (await node.RunAsync("append", "s", "--type", "T", "--data", "2")).MustBe(0);
        Assert.Equal(1, PositionOf(await LineAsync(tail.StandardOutput)));
        Assert.Contains("Following again, without a gap", await LineAsync(tail.StandardError), StringComparison.Ordinal);
        await TestNode.SignalAsync("TERM", tail);
        (await AdminProcess.EndAsync(tail)).MustBe(0);

        static async Task<string> LineAsync(StreamReader from) => (await from.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(1)))!;
        static long PositionOf(string line) => JsonDocument.Parse(line).RootElement.GetProperty("position").GetInt64();
    }

    [Fact]
    public async Task A_reader_that_has_seen_enough_is_no_failure()
    {
        await using var node = await TestNode.NewAsync();
        await ImportAsync(node, 5000);
        foreach (var command in new[] { "read --all", "tail --all --from 0", "export -" })
        {
            using var shell = Process.Start(new ProcessStartInfo(
                "bash", ["-c", $"set -o pipefail; '{AdminProcess.Dotnet}' '{AdminProcess.Assembly}' {command} --endpoint {node.Endpoint} --json | head -n 1"])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            Assert.Single((await AdminProcess.EndAsync(shell)).MustBe(0).Lines);
        }
    }

    [Fact]
    public async Task For_people_control_characters_in_the_data_do_no_harm()
    {
        await using var node = await TestNode.NewAsync();
        (await node.RunAsync("append", "evil", "--type", "T\u001b[31m", "--data", "\"\u009b31m\"")).MustBe(0);
        var text = (await AdminProcess.RunAsync("read", "evil", "--endpoint", node.Endpoint)).MustBe(0).Stdout;
        Assert.Contains("evil @0", text, StringComparison.Ordinal);
        Assert.DoesNotContain(text.TrimEnd('\n'), char.IsControl);
        Assert.Contains("serving", (await AdminProcess.RunAsync("status", "--endpoint", node.Endpoint)).MustBe(0).Stdout, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bench_loads_reads_back_and_prints_figures()
    {
        await using var node = await TestNode.NewAsync();
        var figures = (await node.RunAsync("bench", "--seconds", "0.2", "--in-flight", "8", "--events", "3")).MustBe(0).Json;
        var events = figures.GetProperty("events").GetInt64();
        Assert.True(events > 0);
        Assert.Equal(figures.GetProperty("appends").GetInt64() * 3, events);
        Assert.Equal(events, figures.GetProperty("read").GetProperty("events").GetInt64());
        Assert.Equal(events - 1, (await node.RunAsync("status")).Json.GetProperty("head").GetInt64());
    }

    private static async Task ImportAsync(TestNode node, int events)
    {
        var file = node.FileIn("small.jsonl");
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, events).Select(i =>
            $$$"""{"batch":{{{i}}},"stream":"s-{{{i % 3}}}","id":"{{{Guid.NewGuid()}}}","type":"T","data":{"n":{{{i}}}}}"""));
        (await node.RunAsync("import", file)).MustBe(0);
    }

    private static async Task<IEnumerable<int>> PositionsAsync(TestNode node, params string[] command) =>
        (await node.RunAsync(command)).MustBe(0).Lines.Select(e => e.GetProperty("position").GetInt32());
}
