using System.Buffers;
using System.Text;

namespace EventVault.Client;

/// <summary>
/// Checks an append against the limits and writes it as the bytes of an <c>AppendRequest</c>, in two passes: one
/// that checks and measures, one that writes. No message objects: this is the client's hot path.
/// </summary>
/// <remarks>The field numbers are those of proto/eventvault/v1/streams.proto; a test holds both against each other.</remarks>
internal static class AppendEncoder
{
    private const int GuidFieldSize = 18;
    private const int None = -1;

    /// <summary>Checks an append and returns the size of its encoded form.</summary>
    /// <exception cref="VaultException">It is not well formed or exceeds a limit.</exception>
    public static int Measure(IReadOnlyList<StreamAppend> streams, VaultLimits limits, AppendOptions? options = null)
    {
        if (streams.Count == 0)
        {
            throw VaultErrors.InvalidRequest("list of streams", "is empty");
        }

        long size = GuidFieldSize;
        long events = 0;
        for (int i = 0; i < streams.Count; i++)
        {
            StreamAppend stream = streams[i];
            CheckStream(stream, streams, i, limits);
            events += stream.Events.Count;
            Check(limits.AppendEvents, (ulong)events, "The append has too many events", None);
            long streamSize = MeasureStream(stream, limits);
            size += 1 + WireWriter.VarintSize((ulong)streamSize) + streamSize;
            Check(limits.Append, (ulong)size, "The append is too large", None);
        }

        if (options is { IsUnconditional: false })
        {
            size += ChecksEncoder.Measure(streams, options, limits);
            Check(limits.Append, (ulong)size, "The append is too large", None);
        }

        return (int)size;
    }

    /// <summary>Writes an append that was measured; <paramref name="target"/> has exactly the measured size.</summary>
    public static void Write(Guid operationId, IReadOnlyList<StreamAppend> streams, Span<byte> target, AppendOptions? options = null)
    {
        var writer = new WireWriter(target);
        writer.GuidField(1, operationId);
        for (int i = 0; i < streams.Count; i++)
        {
            StreamAppend stream = streams[i];
            int[] sizes = ArrayPool<int>.Shared.Rent(stream.Events.Count);
            int size = StreamHeaderSize(stream);
            for (int e = 0; e < stream.Events.Count; e++)
            {
                sizes[e] = EventSize(stream.Events[e]);
                size += WireWriter.BytesFieldSize(sizes[e]);
            }

            writer.BytesHeader(2, size);
            writer.StringField(1, stream.Stream);
            WriteExpected(ref writer, stream.Expected);
            for (int e = 0; e < stream.Events.Count; e++)
            {
                writer.BytesHeader(3, sizes[e]);
                WriteEvent(ref writer, stream.Events[e]);
            }

            ArrayPool<int>.Shared.Return(sizes);
        }

        if (options is { IsUnconditional: false })
        {
            ChecksEncoder.Write(ref writer, options);
        }

        if (writer.Offset != target.Length)
        {
            throw new InvalidOperationException(
                $"An append took {writer.Offset} bytes instead of the {target.Length} that were measured: its lists or its data changed meanwhile.");
        }
    }

    private static void CheckStream(StreamAppend stream, IReadOnlyList<StreamAppend> streams, int index, VaultLimits limits)
    {
        VaultNames.CheckStream(stream.Stream, index, limits);
        if (stream.Stream[0] == '$')
        {
            throw VaultErrors.ReservedName(VaultNames.Field(index), stream.Stream);
        }

        if (stream.Expected.Kind == ExpectedVersionKind.Unspecified)
        {
            throw VaultErrors.InvalidRequest($"streams[{index}].expected", "is not set; use ExpectedVersion.Any, NoStream, Exists or Exact");
        }

        if (stream.Events.Count == 0)
        {
            throw VaultErrors.InvalidRequest($"streams[{index}].events", "is empty");
        }

        // Quadratic, but appends have few streams; a set would cost every append for the sake of the rare large one.
        for (int i = 0; i < index; i++)
        {
            if (string.Equals(streams[i].Stream, stream.Stream, StringComparison.Ordinal))
            {
                throw VaultErrors.InvalidRequest($"streams[{index}].stream", "names a stream that the append lists before");
            }
        }
    }

    private static long MeasureStream(StreamAppend stream, VaultLimits limits)
    {
        long size = StreamHeaderSize(stream);
        for (int i = 0; i < stream.Events.Count; i++)
        {
            EventData e = stream.Events[i] ?? throw VaultErrors.InvalidEvent(stream.Stream, i, "is null");
            int eventSize;
            try
            {
                CheckEvent(e, stream.Stream, i, limits);
                eventSize = EventSize(e);
            }
            catch (EncoderFallbackException)
            {
                throw VaultErrors.InvalidEvent(stream.Stream, i, "has a text with half a surrogate pair, which is no UTF-8");
            }

            Check(limits.Event, (ulong)eventSize, "Too large is event", i);
            size += WireWriter.BytesFieldSize(eventSize);
        }

        return size;
    }

    private static void CheckEvent(EventData e, string stream, int index, VaultLimits limits)
    {
        if (e.Type.Length == 0)
        {
            throw VaultErrors.InvalidEvent(stream, index, "has no type");
        }

        Check(limits.Type, (ulong)WireWriter.Utf8.GetByteCount(e.Type), "Too long is the type of event", index);
        if (e.ContentType.Length > 0)
        {
            Check(limits.ContentType, (ulong)WireWriter.Utf8.GetByteCount(e.ContentType), "Too long is the content type of event", index);
        }

        if (e.Tags.Count > 0)
        {
            CheckTags(e.Tags, stream, index, limits);
        }

        if (e.Metadata.Count > 0)
        {
            Check(limits.MetadataEntries, (ulong)e.Metadata.Count, "Too many entries has the metadata of event", index);
            ulong size = 0;
            foreach ((string key, string value) in e.Metadata)
            {
                size += (ulong)(WireWriter.Utf8.GetByteCount(key) + WireWriter.Utf8.GetByteCount(value));
            }

            Check(limits.Metadata, size, "Too large is the metadata of event", index);
        }
    }

    private static void CheckTags(IReadOnlyList<string> tags, string stream, int index, VaultLimits limits)
    {
        Check(limits.Tags, (ulong)tags.Count, "Too many are the tags of event", index);
        for (int i = 0; i < tags.Count; i++)
        {
            if (tags[i].Length == 0)
            {
                throw VaultErrors.InvalidEvent(stream, index, $"has an empty tag, number {i}");
            }

            Check(limits.Tag, (ulong)WireWriter.Utf8.GetByteCount(tags[i]), "Too long is a tag of event", index);
            for (int other = 0; other < i; other++)
            {
                if (string.Equals(tags[i], tags[other], StringComparison.Ordinal))
                {
                    throw VaultErrors.InvalidEvent(stream, index, $"has the tag \"{tags[i]}\" twice");
                }
            }
        }
    }

    // The sentence is put together only when it is needed.
    private static void Check(VaultLimit limit, ulong value, string what, int index)
    {
        if (value > limit.Allowed)
        {
            throw VaultErrors.LimitExceeded(limit, value, index == None ? what : $"{what} {index}");
        }
    }

    private static int StreamHeaderSize(StreamAppend stream) =>
        WireWriter.BytesFieldSize(WireWriter.Utf8.GetByteCount(stream.Stream)) + WireWriter.BytesFieldSize(ExpectedSize(stream.Expected));

    public static int ExpectedSize(ExpectedVersion expected) =>
        expected.Version is { } version ? WireWriter.VarintFieldSize(version) : WireWriter.BytesFieldSize(0);

    /// <summary>Writes an expected version as field 2, which it is wherever it occurs.</summary>
    public static void WriteExpected(ref WireWriter writer, ExpectedVersion expected)
    {
        writer.BytesHeader(2, ExpectedSize(expected));

        // A oneof's member is written also when it is 0: version 0 and "not set" are different things.
        if (expected.Version is { } version)
        {
            writer.VarintField(4, version);
        }
        else
        {
            writer.BytesHeader((int)expected.Kind, 0);
        }
    }

    private static int EventSize(EventData e)
    {
        int size = GuidFieldSize + StringSize(e.Type);
        if (!e.Data.IsEmpty)
        {
            size += WireWriter.BytesFieldSize(e.Data.Length);
        }

        if (e.ContentType.Length > 0)
        {
            size += StringSize(e.ContentType);
        }

        if (e.SchemaVersion != 0)
        {
            size += WireWriter.VarintFieldSize(e.SchemaVersion);
        }

        for (int i = 0; i < e.Tags.Count; i++)
        {
            size += StringSize(e.Tags[i]);
        }

        if (e.Metadata.Count > 0)
        {
            foreach ((string key, string value) in e.Metadata)
            {
                size += WireWriter.BytesFieldSize(StringSize(key) + StringSize(value));
            }
        }

        return e.OccurredAt is null ? size : size + 9;
    }

    private static void WriteEvent(ref WireWriter writer, EventData e)
    {
        writer.GuidField(1, e.Id);
        writer.StringField(2, e.Type);
        if (!e.Data.IsEmpty)
        {
            writer.BytesField(3, e.Data.Span);
        }

        if (e.ContentType.Length > 0)
        {
            writer.StringField(4, e.ContentType);
        }

        if (e.SchemaVersion != 0)
        {
            writer.VarintField(5, e.SchemaVersion);
        }

        for (int i = 0; i < e.Tags.Count; i++)
        {
            writer.StringField(6, e.Tags[i]);
        }

        if (e.Metadata.Count > 0)
        {
            foreach ((string key, string value) in e.Metadata)
            {
                writer.BytesHeader(7, StringSize(key) + StringSize(value));
                writer.StringField(1, key);
                writer.StringField(2, value);
            }
        }

        if (e.OccurredAt is { } time)
        {
            writer.Fixed64Field(8, VaultTime.ToTicks(time));
        }
    }

    public static int StringSize(string text) => WireWriter.BytesFieldSize(WireWriter.Utf8.GetByteCount(text));
}
