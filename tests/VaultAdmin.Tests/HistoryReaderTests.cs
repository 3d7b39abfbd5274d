using System.IO.Compression;
using System.Text;
using EventVault.Admin.History;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class HistoryReaderTests
{
    public static TheoryData<string, string?, string> BadLines { get; } = new()
    {
        { "[]", null, "no JSON object" },
        { "{} {}", null, "not valid JSON" },
        { HistoryLine.Without("batch"), "batch", "missing" },
        { HistoryLine.Without("id"), "id", "missing" },
        { HistoryLine.Without("type"), "type", "missing" },
        { HistoryLine.Without("data"), "data", "missing" },
        { HistoryLine.With("\"dataBase64\":\"\""), "data", "beside" },
        { HistoryLine.With("\"dataBase64\":\"?\""), "dataBase64", "base64" },
        { HistoryLine.With("\"batch\":-1"), "batch", "whole number" },
        { HistoryLine.With("\"batch\":1.5"), "batch", "whole number" },
        { HistoryLine.With("\"batch\":\"1\""), "batch", "whole number" },
        { HistoryLine.With("\"id\":\"17\""), "id", "UUID" },
        { HistoryLine.With("\"stream\":4"), "stream", "text" },
        { HistoryLine.With("\"stream\":\"\\ud800\""), "stream", "surrogate" },
        { HistoryLine.With("\"occurredAt\":\"long ago\""), "occurredAt", "RFC 3339" },
        { HistoryLine.With("\"occurredAt\":1e300"), "occurredAt", "1970" },
        { HistoryLine.With("\"occurredAt\":253402300800"), "occurredAt", "years" },
        { HistoryLine.With("\"occurredAt\":0.00000001"), "occurredAt", "100 ns" },
        { HistoryLine.With("\"metadata\":{\"a\":1}"), "metadata.a", "text" },
        { HistoryLine.With("\"metadata\":{\"a\":\"1\",\"a\":\"2\"}"), "metadata.a", "twice" },
        { HistoryLine.With("\"metadata\":[]"), "metadata", "object" },
        { HistoryLine.With("\"tags\":\"t\""), "tags", "list" },
        { HistoryLine.With("\"schemaVersion\":-1"), "schemaVersion", "whole number" },
        { HistoryLine.With("\"unknown\":1"), "unknown", "not known" },
        { HistoryLine.With("\"x\":1,\"x\":1"), "x", "not known" },
        { "{\"batch\":1,\"batch\":1}", "batch", "twice" },
    };

    [Theory]
    [MemberData(nameof(BadLines))]
    public async Task A_bad_line_is_refused_by_number_and_field(string bad, string? field, string says)
    {
        var failure = await FailAsync($"{HistoryLine.With("\"batch\":0")}\n\n{bad}\n");
        Assert.Equal(3, failure.Line);
        Assert.Equal(field, failure.Field);
        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
        Assert.Contains("ine 3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_batch_that_goes_back_is_refused()
    {
        var failure = await FailAsync(string.Join('\n', new[] { 0, 3, 3, 2 }.Select(b => HistoryLine.With($"\"batch\":{b}"))));
        Assert.Equal((4L, "batch"), (failure.Line, failure.Field));
        Assert.Contains("goes back to 2 after 3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_batch_larger_than_an_append_is_refused_before_it_fills_the_memory()
    {
        var failure = await FailAsync(string.Join('\n', Enumerable.Repeat(HistoryLine.With("\"batch\":7"), 11)));
        Assert.Equal(11, failure.Line);
        Assert.Contains("split it", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bytes_that_are_no_UTF8_are_refused()
    {
        var bytes = Encoding.Latin1.GetBytes(HistoryLine.With("\"type\":\"\u00fc\""));
        var failure = await Assert.ThrowsAsync<HistoryException>(() => ReadAsync(bytes));
        Assert.Contains("UTF-8", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task However_the_bytes_come_the_batches_are_the_same()
    {
        var text = string.Join("\r\n", Enumerable.Range(0, 60).Select(i => HistoryLine.Good(i / 7, i)));
        var expected = await ReadAsync(Encoding.UTF8.GetBytes(text));
        Assert.Equal([7, 7, 7, 7, 7, 7, 7, 7, 4], expected.Select(b => b.EventCount));
        foreach (var bytes in new[] { Encoding.UTF8.GetBytes("\ufeff" + text + "\n"), Gzip(text, 1), Gzip(text, 5) })
        {
            foreach (var step in new[] { 1, 7, 4096 })
            {
                var batches = await ReadAsync(bytes, step);
                Assert.Equal(expected.Select(b => (b.Number, b.FirstLine, b.LastLine, b.OperationId())), batches.Select(b => (b.Number, b.FirstLine, b.LastLine, b.OperationId())));
            }
        }
    }

    [Fact]
    public async Task A_wrong_checksum_is_found_before_the_first_event_but_through_a_pipe_behind_the_last()
    {
        var bytes = Gzip(string.Join('\n', Enumerable.Range(0, 3_000).Select(i => HistoryLine.Good(i, i))), 1); // More than is unpacked at once.
        bytes[^8] ^= 1;
        using var file = new MemoryStream(bytes);
        var seen = 0;
        var refused = await Assert.ThrowsAsync<HistoryException>(() => ReadAsync(file, _ => seen++));
        Assert.Equal((0, null), (seen, refused.Line));
        Assert.Contains("Nothing of it was imported", refused.Message, StringComparison.Ordinal);
        using var pipe = new TricklingStream(bytes, 10);
        var late = await Assert.ThrowsAsync<HistoryException>(() => ReadAsync(pipe, _ => seen++));
        Assert.Contains("what was imported may be wrong", late.Message, StringComparison.Ordinal);
        Assert.True(seen > 0);
    }

    [Fact]
    public void The_operation_id_is_a_function_of_the_event_ids_and_never_changes()
    {
        var line = "{\"batch\":1,\"stream\":\"s\",\"id\":\"92dcc1be-40bf-5d74-998d-daeb3835c277\",\"type\":\"T\",\"data\":{}}"u8.ToArray();
        var one = new HistoryBatch(0, 1);
        one.Add(HistoryEvent.Parse(line, 1));
        var same = new HistoryBatch(9, 5);
        same.Add(HistoryEvent.Parse(line, 7));

        // Frozen: another value would make a second import of a file that is in a vault already add everything again.
        Assert.Equal(Guid.Parse("72505e7d-26ae-802b-889b-4129b3bca937"), one.OperationId());
        Assert.Equal(one.OperationId(), same.OperationId());
        same.Add(HistoryEvent.Parse(line, 8));
        Assert.NotEqual(one.OperationId(), same.OperationId());
    }

    private static async Task<HistoryException> FailAsync(string text) =>
        await Assert.ThrowsAsync<HistoryException>(() => ReadAsync(Encoding.UTF8.GetBytes(text)));

    private static async Task<List<HistoryBatch>> ReadAsync(byte[] bytes, int step = int.MaxValue)
    {
        using var stream = new TricklingStream(bytes, step);
        var batches = new List<HistoryBatch>();
        await ReadAsync(stream, batches.Add);
        using var file = new MemoryStream(bytes);
        var ofFile = new List<HistoryBatch>();
        await ReadAsync(file, ofFile.Add);
        Assert.Equal(batches.Select(b => b.OperationId()), ofFile.Select(b => b.OperationId()));
        return batches;
    }

    private static async Task ReadAsync(Stream stream, Action<HistoryBatch> seen)
    {
        await foreach (var batch in new HistoryReader(stream, maxEvents: 10, maxBytes: 1 << 20).BatchesAsync())
        {
            seen(batch);
        }
    }

    // A gzip file may be several ones, one behind the other.
    private static byte[] Gzip(string text, int members)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        using var target = new MemoryStream();
        for (var i = 0; i < members; i++)
        {
            using var gzip = new GZipStream(target, CompressionLevel.Fastest, leaveOpen: true);
            gzip.Write(bytes.AsSpan((bytes.Length * i / members)..(bytes.Length * (i + 1) / members)));
        }

        return target.ToArray();
    }
}
