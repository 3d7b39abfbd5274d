using System.Diagnostics;
using System.IO.Compression;
using System.Runtime.Versioning;
using System.Text;
using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

[SupportedOSPlatform("linux")]
public sealed class ImportTests
{
    private static readonly string History = AdminProcess.TestData("redis-history.jsonl.gz");

    [Fact]
    public async Task The_real_history_is_imported_once_and_comes_back_equal_also_through_export()
    {
        await using var node = await TestNode.NewAsync();
        Assert.Equal("{\"appends\":9072,\"events\":25214,\"deduplicated\":0,\"lastPosition\":25213}\n", (await node.RunAsync("import", History)).MustBe(0).Stdout);
        Assert.Equal("{\"appends\":9072,\"events\":25214,\"deduplicated\":9072,\"lastPosition\":25213}\n", (await node.RunAsync("import", History)).MustBe(0).Stdout);

        var expected = await UnpackAsync(History);
        var events = (await node.RunAsync("read", "--all")).MustBe(0).Stdout.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(expected.Length, events.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            AssertEqual(expected[i], events[i], i);
        }

        var exported = node.FileIn("exported.jsonl.gz");
        Assert.Equal("{\"appends\":9072,\"events\":25214,\"lastPosition\":25213}\n", (await node.RunAsync("export", exported)).MustBe(0).Stdout);
        Assert.Equal(expected, await UnpackAsync(exported));
        Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(exported) & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.GroupWrite)); // All events are in it.
        var toStdout = (await node.RunAsync("export", "-")).MustBe(0).Stdout;
        Assert.Equal(string.Join('\n', expected) + '\n', toStdout);

        // The export names the same batches, so it is a repeat too.
        Assert.Equal(9072, (await node.RunAsync("import", exported)).MustBe(0).Json.GetProperty("deduplicated").GetInt32());
    }

    [Fact]
    public async Task An_import_that_the_node_was_killed_under_goes_on_where_it_was()
    {
        await using var node = await TestNode.NewAsync();
        using var import = AdminProcess.Start("import", History, "--endpoint", node.Endpoint, "--json");
        while ((await node.RunAsync("status")).Json.GetProperty("head").ValueKind == JsonValueKind.Null && !import.HasExited)
        {
        }

        await node.KillAsync();
        import.Kill();
        await import.WaitForExitAsync();
        await node.StartAsync();
        var result = (await node.RunAsync("import", History)).MustBe(0).Json;
        Assert.Equal(9072, result.GetProperty("appends").GetInt32());
        Assert.Equal(25213, result.GetProperty("lastPosition").GetInt32());
        var expected = await UnpackAsync(History);
        var events = (await node.RunAsync("read", "--all")).MustBe(0).Stdout.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(expected.Length, events.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            AssertEqual(expected[i], events[i], i);
        }
    }

    [Fact]
    public async Task Every_field_survives_export_and_import_into_another_vault()
    {
        string[] lines =
        [
            """{"batch":0,"stream":"a","id":"00000000-0000-4000-8000-000000000001","type":"T","occurredAt":-1.0000001,"data":{"x":1.10,"x":"ü\ud83d"},"metadata":{"k":"v","l":""},"tags":["t","u"],"schemaVersion":7}""",
            """{"batch":0,"stream":"b","id":"00000000-0000-4000-8000-000000000002","type":"T","dataBase64":"/wA=","contentType":"application/octet-stream"}""",
            """{"batch":1,"stream":"a","id":"00000000-0000-4000-8000-000000000003","type":"Ω","occurredAt":253402300799.9999999,"data":null}""",
            """{"batch":2,"stream":"a","id":"00000000-0000-4000-8000-000000000004","type":"T","dataBase64":"ew=="}""",
        ];
        await using var one = await TestNode.NewAsync();
        await using var other = await TestNode.NewAsync();
        await File.WriteAllTextAsync(one.FileIn("a.jsonl"), string.Join("\r\n", lines));
        Assert.Equal("{\"appends\":3,\"events\":4,\"deduplicated\":0,\"lastPosition\":3}\n", (await one.RunAsync("import", one.FileIn("a.jsonl"))).MustBe(0).Stdout);
        (await one.RunAsync("export", one.FileIn("b.jsonl"))).MustBe(0);
        Assert.Equal(lines, await File.ReadAllLinesAsync(one.FileIn("b.jsonl")));
        (await other.RunAsync("import", one.FileIn("b.jsonl"))).MustBe(0);
        var exported = (await other.RunAsync("export", "-")).MustBe(0).Stdout;
        Assert.Equal(await File.ReadAllTextAsync(one.FileIn("b.jsonl")), exported);
        Assert.Equal("{\"appends\":3,\"events\":4,\"deduplicated\":3,\"lastPosition\":3}\n", (await one.RunAsync("import", one.FileIn("b.jsonl"))).MustBe(0).Stdout);
    }

    [Fact]
    public async Task An_export_takes_the_place_of_no_link_and_of_no_pipe()
    {
        await using var node = await TestNode.NewAsync();
        (await node.RunAsync("append", "s", "--type", "T", "--data", "{}")).MustBe(0);
        File.CreateSymbolicLink(node.FileIn("link"), node.FileIn("target"));
        foreach (var there in new[] { false, true })
        {
            Assert.Contains("is a link to", (await node.RunAsync("export", node.FileIn("link"))).MustBe(2).ErrorMessage, StringComparison.Ordinal);
            Assert.Equal((node.FileIn("target"), there), (new FileInfo(node.FileIn("link")).LinkTarget, File.Exists(node.FileIn("target"))));
            await File.WriteAllTextAsync(node.FileIn("target"), "kept");
        }

        using (var make = Process.Start("mkfifo", [node.FileIn("pipe")]))
        {
            await make.WaitForExitAsync();
        }

        Assert.Contains("no regular file", (await node.RunAsync("export", node.FileIn("pipe"))).MustBe(2).ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_batch_that_names_a_stream_again_is_still_one_append_with_its_streams_together()
    {
        await using var node = await TestNode.NewAsync();
        var file = node.FileIn("mixed.jsonl");
        await File.WriteAllLinesAsync(file, [Line(5, "a"), Line(5, "b"), Line(5, "a"), Line(9, "a")]);
        Assert.Equal("{\"appends\":2,\"events\":4,\"deduplicated\":0,\"lastPosition\":3}\n", (await node.RunAsync("import", file)).MustBe(0).Stdout);
        var events = (await node.RunAsync("read", "--all")).MustBe(0).Lines;
        Assert.Equal(["a0", "a1", "b0", "a2"], events.Select(e => e.GetProperty("stream").GetString() + e.GetProperty("version").GetInt32()));
        Assert.Single(events.Take(3).Select(e => e.GetProperty("recordedAt").GetString()).Distinct());
    }

    [Fact]
    public async Task An_empty_file_imports_nothing_and_stdin_works()
    {
        await using var node = await TestNode.NewAsync();
        await File.WriteAllTextAsync(node.FileIn("empty"), "");
        Assert.Equal("{\"appends\":0,\"events\":0,\"deduplicated\":0,\"lastPosition\":null}\n", (await node.RunAsync("import", node.FileIn("empty"))).MustBe(0).Stdout);
        using var import = AdminProcess.Start("import", "-", "--endpoint", node.Endpoint, "--json");
        await import.StandardInput.WriteAsync('\ufeff' + Line(0, "a") + "\n\n" + Line(1, "a"));
        import.StandardInput.Close();
        Assert.Equal(2, (await AdminProcess.EndAsync(import)).MustBe(0).Json.GetProperty("events").GetInt32());
    }

    [Fact]
    public async Task A_bad_file_is_refused_by_line_and_field_and_keeps_what_stood_before_it()
    {
        await using var node = await TestNode.NewAsync();
        var good = Line(0, "good");
        (string Bad, string Code, string? Field, string Says)[] cases =
        [
            ("{\"batch\":1,", "INVALID_HISTORY", null, "not valid JSON"),
            (HistoryLine.Without("stream"), "INVALID_HISTORY", "stream", "missing"),
            (HistoryLine.With("\"stream\":\"\""), "INVALID_NAME", "streams[0].stream", "empty"),
            (HistoryLine.With("\"tags\":[\"t\",\"t\"]"), "INVALID_EVENT", null, "twice"),
            (HistoryLine.With("\"type\":\"" + new string('t', 300) + "\""), "LIMIT_EXCEEDED", null, "type_bytes"),
        ];
        foreach (var (bad, code, field, says) in cases)
        {
            var file = node.FileIn("bad.jsonl");
            await File.WriteAllLinesAsync(file, [good, bad, Line(2, "after")]);
            var result = (await node.RunAsync("import", file)).MustBe(1);
            Assert.Equal(code, result.ErrorCode);
            Assert.StartsWith("Line 2", result.ErrorMessage, StringComparison.Ordinal);
            Assert.Contains(says, result.ErrorMessage, StringComparison.Ordinal);
            var error = result.Json.GetProperty("error");
            Assert.Equal(2, error.GetProperty("line").GetInt32());

            // A line that can't be read might have belonged to the batch before it, which is then not known to be whole.
            Assert.Equal(code == "INVALID_HISTORY" ? 0 : 1, error.GetProperty("events").GetInt32());
            Assert.Equal(field, error.TryGetProperty("field", out var named) ? named.GetString() : null);
        }

        // Nothing behind a bad line was written, and what stood before it once.
        Assert.Equal(0, (await node.RunAsync("status")).Json.GetProperty("head").GetInt32());
    }

    [Fact]
    public async Task A_gzip_file_that_was_cut_off_is_no_success()
    {
        await using var node = await TestNode.NewAsync();
        var whole = await File.ReadAllBytesAsync(History);
        foreach (var length in new[] { 100, whole.Length / 2, whole.Length - 3 })
        {
            await File.WriteAllBytesAsync(node.FileIn("cut.gz"), whole[..length]);
            var cut = (await node.RunAsync("import", node.FileIn("cut.gz"))).MustBe(1);
            Assert.Equal("INVALID_HISTORY", cut.ErrorCode);
            Assert.Contains("cut off", cut.ErrorMessage, StringComparison.Ordinal);
        }

        // A byte of the checksum as well, so that all else of it can be unpacked.
        foreach (var at in new[] { whole.Length / 3, whole.Length - 7 })
        {
            var damaged = whole.ToArray();
            damaged[at] ^= 0x10;
            await File.WriteAllBytesAsync(node.FileIn("damaged.gz"), damaged);
            var refused = (await node.RunAsync("import", node.FileIn("damaged.gz"))).MustBe(1);
            Assert.Equal("INVALID_HISTORY", refused.ErrorCode);
            Assert.Contains("Nothing of it was imported", refused.ErrorMessage, StringComparison.Ordinal);
        }

        // Nothing of these was written.
        Assert.Equal(JsonValueKind.Null, (await node.RunAsync("status")).Json.GetProperty("head").ValueKind);
        Assert.Equal(25213, (await node.RunAsync("import", History)).MustBe(0).Json.GetProperty("lastPosition").GetInt32());
    }

    private static string Line(int batch, string stream) =>
        $$$"""{"batch":{{{batch}}},"stream":"{{{stream}}}","id":"{{{new Guid(batch, 0, 0, Encoding.UTF8.GetBytes(stream.PadRight(8)[..8]))}}}","type":"T","data":{}}""";

    private static void AssertEqual(string line, string read, int position)
    {
        var expected = JsonDocument.Parse(line).RootElement;
        var e = JsonDocument.Parse(read).RootElement;
        Assert.Equal(position, e.GetProperty("position").GetInt32());
        foreach (var field in new[] { "stream", "id", "type", "data", "metadata" })
        {
            Assert.Equal(expected.GetProperty(field).GetRawText(), e.GetProperty(field).GetRawText());
        }

        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(expected.GetProperty("occurredAt").GetInt64()), e.GetProperty("occurredAt").GetDateTimeOffset());
    }

    private static async Task<string[]> UnpackAsync(string path)
    {
        await using var file = File.OpenRead(path);
        using var text = new StreamReader(new GZipStream(file, CompressionMode.Decompress));
        return (await text.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
