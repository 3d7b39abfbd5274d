using EventVault.Node.Services;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;
using Google.Protobuf;
using Position = EventVault.Storage.Position;
using QueryItem = EventVault.Protocol.QueryItem;

namespace EventVault.Node.Tests;

/// <summary>The hand-written reader against the generated parser, on what a generated writer makes of random messages.</summary>
public sealed class AppendRequestReaderTests : IDisposable
{
    private readonly VaultStorage _storage = VaultStorage.Open(new SimulatedFileSystem(tracksLosses: false), "/vault", new StorageOptions { SegmentSizeBytes = TestNode.SegmentSizeBytes }, 1);
    private readonly AppendRequestReader _reader;

    public AppendRequestReaderTests() =>
        _reader = new AppendRequestReader(_storage, new NodeLimits(new NodeOptions { Directory = "/vault" }, _storage));

    public void Dispose() => _storage.Dispose();

    [Fact]
    public void What_the_generated_writer_makes_is_read_as_it_was_meant()
    {
        for (var seed = 0; seed < 2000; seed++)
        {
            var request = Random(new Random(seed));
            var encoded = request.ToByteArray();
            var bytes = new byte[encoded.Length + 20];
            encoded.CopyTo(bytes, 7);
            var content = new AppendContent(_storage);
            var refusal = _reader.Read(bytes, 7, encoded.Length, content);
            Assert.True(refusal is null, $"Seed {seed}: {refusal}");
            Assert.Equal(request, Rebuild(content));
        }
    }

    [Fact]
    public void Content_that_is_used_again_has_nothing_of_what_it_held_before()
    {
        var content = new AppendContent(_storage);
        for (var seed = 0; seed < 200; seed++)
        {
            var request = Random(new Random(seed));
            var bytes = request.ToByteArray();
            Assert.Null(_reader.Read(bytes, 0, bytes.Length, content));
            Assert.Equal(request, Rebuild(content));
        }
    }

    [Fact]
    public void Every_expectation_survives_the_wire_defaults_included()
    {
        foreach (var expected in new[] { Make.Any, Make.NoStream, Make.Exists, Make.Version(0), Make.Version(1), Make.Version(long.MaxValue) })
        {
            var bytes = Make.Append(Make.Stream("s", expected)).ToByteArray();
            var content = new AppendContent(_storage);
            Assert.Null(_reader.Read(bytes, 0, bytes.Length, content));
            Assert.Equal(expected, Expected(content.Streams[0]));
        }
    }

    [Fact]
    public void Any_cut_of_a_request_is_refused()
    {
        var bytes = Make.Append(Make.Stream("s", Make.Version(300), Make.Events(2)), Make.Stream("t", Make.Any)).ToByteArray();
        var accepted = Enumerable.Range(0, bytes.Length).Where(length => _reader.Read(bytes, 0, length, new AppendContent(_storage)) is null).ToList();

        // Only where the second stream is missing as a whole is the rest a request of its own.
        Assert.Equal([bytes.Length - Encoded(Make.Stream("t", Make.Any))], accepted);
    }

    private static int Encoded(StreamAppend stream) => 2 + stream.CalculateSize();

    private static AppendRequest Random(Random random)
    {
        var request = new AppendRequest { OperationId = Bytes(random, 16) };
        var streams = random.Next(1, random.Next(10) == 0 ? 30 : 4);
        for (var s = 0; s < streams; s++)
        {
            var stream = new StreamAppend { Stream = $"{Text(random, 1, 12)}-{s}", Expected = RandomExpected(random) };
            for (var e = random.Next(1, 4); e > 0; e--)
            {
                stream.Events.Add(RandomEvent(random));
            }

            request.Streams.Add(stream);
        }

        for (var r = random.Next(random.Next(10) == 0 ? 30 : 3); r > 0; r--)
        {
            request.Requires.Add(Make.Requirement($"{Text(random, 1, 12)}-r{r}", RandomExpected(random)));
        }

        for (var c = random.Next(3); c > 0; c--)
        {
            ulong? after = random.Next(2) == 0 ? null : (ulong)random.NextInt64(1L << random.Next(1, 62));
            request.Conditions.Add(Make.Condition(after, [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomItem(random))]));
        }

        if (random.Next(3) == 0)
        {
            request.AttemptedAfter = random.Next(3) == 0 ? new SeenHead() : new SeenHead { Position = (ulong)random.Next(1000) };
        }

        return request;
    }

    private static QueryItem RandomItem(Random random)
    {
        var item = new QueryItem();
        item.Types_.AddRange(Enumerable.Range(0, random.Next(3)).Select(_ => Text(random, 1, 30)));
        item.Tags.AddRange(Enumerable.Range(0, random.Next(item.Types_.Count == 0 ? 1 : 0, 3)).Select(_ => Text(random, 1, 10)));
        return item;
    }

    private static ExpectedVersion RandomExpected(Random random) => random.Next(5) switch
    {
        0 => Make.Any,
        1 => Make.NoStream,
        2 => Make.Exists,
        3 => Make.Version(0),
        _ => Make.Version((ulong)random.NextInt64(1L << random.Next(1, 62))),
    };

    private static EventData RandomEvent(Random random)
    {
        var e = new EventData { Id = Bytes(random, 16), Type = Text(random, 1, 30), Data = Bytes(random, random.Next(300)) };
        e.ContentType = random.Next(2) == 0 ? "" : Text(random, 1, 20);
        e.SchemaVersion = random.Next(2) == 0 ? 0 : (uint)random.Next();
        for (var t = random.Next(4); t > 0; t--)
        {
            e.Tags.Add($"{t}{Text(random, 0, 10)}");
        }

        for (var m = random.Next(4); m > 0; m--)
        {
            e.Metadata[$"{m}{Text(random, 0, 5)}"] = Text(random, 0, 10);
        }

        if (random.Next(2) == 0)
        {
            e.OccurredAt = random.Next(3) == 0 ? 0 : random.NextInt64(long.MinValue, long.MaxValue);
        }

        return e;
    }

    private static string Text(Random random, int least, int most) =>
        string.Concat(Enumerable.Range(0, random.Next(least, most + 1)).Select(_ => random.Next(8) == 0 ? "é€😀"[..1] : ((char)random.Next('a', 'z' + 1)).ToString()));

    private static ByteString Bytes(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return ByteString.CopyFrom(bytes);
    }

    private static AppendRequest Rebuild(AppendContent content)
    {
        var id = new byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(id, content.OperationId);
        var request = new AppendRequest { OperationId = ByteString.CopyFrom(id) };
        foreach (ref readonly var stream in content.Streams)
        {
            var rebuilt = new StreamAppend { Stream = Errors.Name(content.Name(stream)), Expected = Expected(stream) };
            for (var i = 0; i < stream.EventCount; i++)
            {
                var (offset, length) = content.EventAt(stream.FirstEvent + i);
                rebuilt.Events.Add(EventData.Parser.ParseFrom(content.Bytes, offset, length));
            }

            request.Streams.Add(rebuilt);
        }

        foreach (ref readonly var required in content.Requires)
        {
            request.Requires.Add(Make.Requirement(Errors.Name(content.Name(required)), Expected(required)));
        }

        foreach (ref readonly var condition in content.Conditions)
        {
            var items = condition.Items.Select(item => new QueryItem
            {
                Types_ = { item.Types.Select(t => Errors.Name(t.Span)) },
                Tags = { item.Tags.Select(t => Errors.Name(t.Span)) },
            });
            request.Conditions.Add(Make.Condition(condition.After == Position.None ? null : (ulong)condition.After.Value, [.. items]));
        }

        if (content.AttemptedAfter is { } seen)
        {
            request.AttemptedAfter = seen == Position.None ? new SeenHead() : new SeenHead { Position = (ulong)seen.Value };
        }

        return request;
    }

    private static ExpectedVersion Expected(in AppendStream stream) => stream.Expected switch
    {
        ExpectedKind.Any => Make.Any,
        ExpectedKind.NoStream => Make.NoStream,
        ExpectedKind.Exists => Make.Exists,
        _ => Make.Version((ulong)stream.ExpectedVersion.Value),
    };
}
