using System.IO.Compression;
using System.Text;
using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

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
        (string Bad, string? Field, string Says)[] cases =
        [
            ("{\"batch\":1,", null, "not valid JSON"),
            ("[]", null, "no JSON object"),
            (Without("stream"), "stream", "missing"),
            (Without("batch"), "batch", "missing"),
            (Without("id"), "id", "missing"),
            (Without("type"), "type", "missing"),
            (Without("data"), "data", "missing"),
            (With("\"batch\":-1"), "batch", "whole number"),
            (With("\"batch\":1.5"), "batch", "whole number"),
            (With("\"id\":\"17\""), "id", "UUID"),
            (With("\"stream\":4"), "stream", "text"),
            (With("\"stream\":\"\\ud800\""), "stream", "surrogate"),
            (With("\"stream\":\"\""), "streams[0].stream", "empty"),
            (With("\"occurredAt\":\"long ago\""), "occurredAt", "RFC 3339"),
            (With("\"occurredAt\":1e300"), "occurredAt", "1970"),
            (With("\"occurredAt\":0.00000001"), "occurredAt", "100 ns"),
            (With("\"metadata\":{\"a\":1}"), "metadata.a", "text"),
            (With("\"tags\":\"t\""), "tags", "list"),
            (With("\"tags\":[\"t\",\"t\"]"), null, "twice"),
            (With("\"unknown\":1"), "unknown", "not known"),
            (With("\"type\":\"" + new string('t', 300) + "\""), null, "type_bytes"),
            (good.Replace("{\"batch\":0", "{\"batch\":0,\"batch\":0", StringComparison.Ordinal), "batch", "twice"),
        ];
        foreach (var (bad, field, says) in cases)
        {
            var file = node.FileIn("bad.jsonl");
            await File.WriteAllLinesAsync(file, [good, bad, Line(2, "after")]);
            var result = (await node.RunAsync("import", file)).MustBe(1);
            var error = result.Json.GetProperty("error");
            Assert.Equal(2, error.GetProperty("line").GetInt32());
            Assert.Contains(says, result.ErrorMessage, StringComparison.Ordinal);
            Assert.Contains("ine 2", result.ErrorMessage, StringComparison.Ordinal);
            Assert.True(field is null || field == error.GetProperty("field").GetString(), $"{result.ErrorMessage} should name {field}.");
        }

        await File.WriteAllLinesAsync(node.FileIn("back.jsonl"), [good, Line(3, "a"), Line(2, "a")]);
        var back = (await node.RunAsync("import", node.FileIn("back.jsonl"))).MustBe(1);
        Assert.Contains("goes back to 2 after 3", back.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("INVALID_HISTORY", back.ErrorCode);
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

        whole[whole.Length / 3] ^= 0x10;
        await File.WriteAllBytesAsync(node.FileIn("damaged.gz"), whole);
        Assert.Equal("INVALID_HISTORY", (await node.RunAsync("import", node.FileIn("damaged.gz"))).MustBe(1).ErrorCode);

        // Once the whole file is there, the import goes on behind what was written.
        Assert.Equal(25213, (await node.RunAsync("import", History)).MustBe(0).Json.GetProperty("lastPosition").GetInt32());
    }

    private static string Line(int batch, string stream) =>
        $$$"""{"batch":{{{batch}}},"stream":"{{{stream}}}","id":"{{{new Guid(batch, 0, 0, Encoding.UTF8.GetBytes(stream.PadRight(8)[..8]))}}}","type":"T","data":{}}""";

    private static string Without(string field) => string.Concat("{", string.Join(',', Fields().Where(f => f.Name != field).Select(f => f.Text)), "}");

    private static string With(string text)
    {
        var name = text[1..text.IndexOf('"', 1)];
        return string.Concat("{", string.Join(',', Fields().Where(f => f.Name != name).Select(f => f.Text).Append(text)), "}");
    }

    private static (string Name, string Text)[] Fields() =>
    [
        ("batch", "\"batch\":1"), ("stream", "\"stream\":\"bad\""), ("id", $"\"id\":\"{Guid.NewGuid()}\""), ("type", "\"type\":\"T\""), ("data", "\"data\":{}"),
    ];

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
