using System.Buffers.Binary;
using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Tests.Log;

/// <summary>Encodes events as a client would, field by field.</summary>
internal static class Encoded
{
    public static byte[] Event(
        UInt128 id, string type, ReadOnlySpan<byte> data, string[]? tags = null, (string Key, string Value)[]? metadata = null, long? occurredAt = null)
    {
        var bytes = new List<byte>();
        Span<byte> idBytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(idBytes, id);
        Delimited(bytes, 1, idBytes);
        Delimited(bytes, 2, Encoding.UTF8.GetBytes(type));
        if (!data.IsEmpty)
        {
            Delimited(bytes, 3, data);
        }

        foreach (var tag in tags ?? [])
        {
            Delimited(bytes, 6, Encoding.UTF8.GetBytes(tag));
        }

        foreach (var (key, value) in metadata ?? [])
        {
            var entry = new List<byte>();
            Delimited(entry, 1, Encoding.UTF8.GetBytes(key));
            Delimited(entry, 2, Encoding.UTF8.GetBytes(value));
            Delimited(bytes, 7, [.. entry]);
        }

        if (occurredAt is { } at)
        {
            bytes.Add((8 << 3) | 1);
            Span<byte> fixed64 = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(fixed64, at);
            bytes.AddRange(fixed64);
        }

        return [.. bytes];
    }

    public static void Delimited(List<byte> bytes, int field, ReadOnlySpan<byte> value)
    {
        Varint(bytes, (ulong)((field << 3) | 2));
        Varint(bytes, (ulong)value.Length);
        bytes.AddRange(value);
    }

    public static void Varint(List<byte> bytes, ulong value)
    {
        while (value >= 0x80)
        {
            bytes.Add((byte)(value | 0x80));
            value >>= 7;
        }

        bytes.Add((byte)value);
    }

    /// <summary>The event of <c>$streams</c> that a change makes.</summary>
    public static byte[] ChangeEvent(UInt128 id, ModelChange change)
    {
        var type = change.Kind switch { StreamChangeKind.Delete => "$stream-deleted", StreamChangeKind.Tombstone => "$stream-tombstoned", _ => "$stream-truncated" };
        return [.. Event(id, type, Encoding.UTF8.GetBytes($"{{\"stream\":\"{change.Stream}\",\"before\":{change.Before}}}")), 5 << 3, 1];
    }

    /// <summary>The event of <c>$streams</c> that starts or stops a scavenge.</summary>
    public static byte[] ScavengeEvent(UInt128 id, ScavengeChange change, long floor) => change == ScavengeChange.Start
        ? [.. Event(id, "$scavenge-started", Encoding.UTF8.GetBytes($"{{\"floor\":{floor}}}")), 5 << 3, 1]
        : [.. Event(id, "$scavenge-stopped", "{}"u8), 5 << 3, 1];

    /// <summary>Puts the start or end of a scavenge together as the node does.</summary>
    public static AppendContent Scavenge(VaultStorage storage, UInt128 operationId, ScavengeChange change)
    {
        var content = new AppendContent(storage) { OperationId = operationId };
        content.SetScavenge(change);
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        return content;
    }

    /// <summary>Puts a change together as the node does: the version is the sequencer's to find, unless it is a truncation.</summary>
    public static AppendContent Change(VaultStorage storage, UInt128 operationId, ModelChange change)
    {
        var content = new AppendContent(storage) { OperationId = operationId };
        var before = change.Kind == StreamChangeKind.Truncate ? change.Before : 0;
        content.SetChange(new StreamChange(change.Kind, new StreamVersion(before)) { DueBy = change.DueBy, Anchors = Anchors(change.Anchors) }, Encoding.UTF8.GetBytes(change.Stream), change.Expected, new StreamVersion(change.Version));
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        return content;
    }

    private static TruncationAnchors? Anchors(ModelAnchors? anchors) => anchors is null ? null : new TruncationAnchors(
        new StreamVersion(anchors.Reducers), new StreamVersion(anchors.First), [.. anchors.Events.Select(a => new AnchorEvent(Encoding.UTF8.GetBytes(a.Stream), a.Event))]);

    /// <summary>Puts the append of a retention rule together as the node does.</summary>
    public static AppendContent Retention(VaultStorage storage, UInt128 operationId, RetentionSetting setting)
    {
        var content = new AppendContent(storage) { OperationId = operationId };
        content.SetRetention(setting);
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        return content;
    }

    /// <summary>Puts an append together; fails the test if its content is refused.</summary>
    public static AppendContent Append(
        VaultStorage storage, UInt128 operationId, params (string Stream, ExpectedKind Expected, long Version, byte[][] Events)[] streams) =>
        Append(storage, operationId, streams, [], []);

    /// <summary>Puts an append with requirements and conditions together; fails the test if its content is refused.</summary>
    public static AppendContent Append(
        VaultStorage storage, UInt128 operationId, (string Stream, ExpectedKind Expected, long Version, byte[][] Events)[] streams,
        (string Stream, ExpectedKind Expected, long Version)[] requires, (long After, IReadOnlyList<QueryItem> Items)[] conditions)
    {
        var bytes = new List<byte>();
        var content = new AppendContent(storage);
        var places = new List<Action>();
        int Put(byte[] part)
        {
            bytes.AddRange(part);
            return bytes.Count - part.Length;
        }

        foreach (var (stream, expected, version, events) in streams)
        {
            var name = Encoding.UTF8.GetBytes(stream);
            var nameOffset = Put(name);
            places.Add(() => content.AddStream(nameOffset, name.Length, expected, new StreamVersion(version)));
            foreach (var e in events)
            {
                var offset = Put(e);
                places.Add(() => content.AddEvent(offset, e.Length));
            }
        }

        foreach (var (stream, expected, version) in requires)
        {
            var name = Encoding.UTF8.GetBytes(stream);
            var nameOffset = Put(name);
            places.Add(() => content.AddRequirement(nameOffset, name.Length, expected, new StreamVersion(version)));
        }

        foreach (var (after, items) in conditions)
        {
            places.Add(() => content.AddCondition(items, new Position(after)));
        }

        content.Reset([.. bytes]);
        content.OperationId = operationId;
        places.ForEach(p => p());
        var problem = content.Check(out _, out _);
        Assert.Equal(EventProblemKind.None, problem.Kind);
        return content;
    }
}
