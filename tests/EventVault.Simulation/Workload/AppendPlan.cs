using System.Buffers.Binary;
using System.Text;
using EventVault.Simulation.Checkers;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Workload;

/// <summary>One stream of an append that a client makes up.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Expected">What is expected of it.</param>
/// <param name="Version">With Exact: the version.</param>
/// <param name="DataBytes">How long each event's data is.</param>
internal sealed record PlannedStream(string Name, Expectation Expected, long Version, int[] DataBytes);

/// <summary>
/// An append that a client makes up. Its bytes follow from it, so that nobody keeps them: each event says which operation
/// and which place in it it is, and is filled up from there.
/// </summary>
/// <param name="Id">Operation id.</param>
/// <param name="Variant">Tells contents of one operation id apart.</param>
/// <param name="Streams">What it writes.</param>
internal sealed record AppendPlan(UInt128 Id, int Variant, PlannedStream[] Streams)
{
    private const int NoTag = -1;

    private const int FieldId = 1;
    private const int FieldType = 2;
    private const int FieldData = 3;
    private const int FieldTag = 6;

    /// <summary>Number of the tag of two in three of its events; −1: none.</summary>
    public int Tag { get; init; } = NoTag;

    /// <summary>Streams that it requires something of.</summary>
    public SentStream[] Requires { get; init; } = [];

    /// <summary>What must not match.</summary>
    public SentCondition[] Conditions { get; init; } = [];

    /// <summary>Not null: it changes the life of a stream, and writes nothing else.</summary>
    public SentChange? Change { get; init; }

    /// <summary>Not null: it sets a retention rule, and writes nothing else.</summary>
    public SentRule? Rule { get; init; }

    /// <summary>Not null: it starts or stops a scavenge, and writes nothing else.</summary>
    public ScavengeChange? Scavenge { get; init; }

    /// <summary>As the checkers know it.</summary>
    public SentAppend ToSent()
    {
        if (Scavenge is not null)
        {
            return new SentAppend(Id, [new SentStream("$streams", Expectation.Any, 0, [0])]) { Scavenge = Scavenge, Content = Encode };
        }

        if (Rule is not null)
        {
            return new SentAppend(Id, [new SentStream("$streams", Expectation.Any, 0, [0])]) { Rule = Rule, Content = Encode };
        }

        if (Change is not null)
        {
            return new SentAppend(Id, [new SentStream("$streams", Expectation.Any, 0, [0])]) { Change = Change, Content = Encode };
        }

        var ordinal = 0;
        var streams = Streams.Select(s => new SentStream(s.Name, s.Expected, s.Version, [.. s.DataBytes.Select(length => ContentDigest.Of(Event(ordinal++, length)))]));
        return new SentAppend(Id, [.. streams]) { Requires = Requires, Conditions = Conditions, Content = Encode };
    }

    /// <summary>As a node's service decodes it from a request.</summary>
    public AppendContent Encode(VaultStorage storage)
    {
        if (Change is { } change)
        {
            var kind = change.Kind switch { ChangeKind.Delete => StreamChangeKind.Delete, ChangeKind.Tombstone => StreamChangeKind.Tombstone, _ => StreamChangeKind.Truncate };
            var changing = new AppendContent(storage) { OperationId = Id };
            changing.SetChange(new StreamChange(kind, new StreamVersion(change.Before)), Encoding.UTF8.GetBytes(change.Target.Name), KindOf(change.Target.Expected), new StreamVersion(change.Target.Version));
            return changing;
        }

        if (Rule is { } rule)
        {
            var limits = new RetentionRule { MaxAgeSeconds = rule.MaxAgeSeconds, MaxEvents = rule.MaxEvents, Forever = rule.IsForever, LegalHold = rule.IsHold };
            var setting = new AppendContent(storage) { OperationId = Id };
            setting.SetRetention(new RetentionSetting(rule.IsCategory ? RetentionScope.Category : RetentionScope.Stream, Encoding.UTF8.GetBytes(rule.Name), rule.IsRemoval ? null : limits));
            return setting;
        }

        if (Scavenge is { } scavenge)
        {
            var starting = new AppendContent(storage) { OperationId = Id };
            starting.SetScavenge(scavenge);
            return starting;
        }

        var bytes = new List<byte>();
        var places = new List<Action<AppendContent>>();
        var ordinal = 0;
        foreach (var stream in Streams)
        {
            var name = Encoding.UTF8.GetBytes(stream.Name);
            var nameOffset = bytes.Count;
            bytes.AddRange(name);
            places.Add(content => content.AddStream(nameOffset, name.Length, KindOf(stream.Expected), new StreamVersion(stream.Version)));
            foreach (var length in stream.DataBytes)
            {
                var (offset, e) = (bytes.Count, Event(ordinal++, length));
                bytes.AddRange(e);
                places.Add(content => content.AddEvent(offset, e.Length));
            }
        }

        foreach (var required in Requires)
        {
            var name = Encoding.UTF8.GetBytes(required.Name);
            var nameOffset = bytes.Count;
            bytes.AddRange(name);
            places.Add(content => content.AddRequirement(nameOffset, name.Length, KindOf(required.Expected), new StreamVersion(required.Version)));
        }

        foreach (var condition in Conditions)
        {
            places.Add(content => content.AddCondition([ItemOf(condition.Asked)], new Position(condition.After)));
        }

        var append = new AppendContent(storage);
        append.Reset([.. bytes]);
        append.OperationId = Id;
        places.ForEach(place => place(append));
        return append;
    }

    private static ExpectedKind KindOf(Expectation expected) => expected switch
    {
        Expectation.NoStream => ExpectedKind.NoStream,
        Expectation.Exists => ExpectedKind.Exists,
        Expectation.Exact => ExpectedKind.Exact,
        _ => ExpectedKind.Any,
    };

    private static QueryItem ItemOf(EventLabel asked) => new(
        asked.Type < 0 ? [] : [Encoding.UTF8.GetBytes(EventDecoder.Types[asked.Type])], [Encoding.UTF8.GetBytes(EventDecoder.Tag(asked.Tag))]);

    private byte[] Event(int ordinal, int dataBytes)
    {
        var bytes = new List<byte>(dataBytes + 64);
        Span<byte> id = stackalloc byte[16];

        // Every other append is named by its first event, as clients may do.
        BinaryPrimitives.WriteUInt128BigEndian(id, ordinal == 0 && (Id & 1) == 0 ? Id : (Id << 20) + (UInt128)(((uint)Variant << 10) + (uint)ordinal + 1));
        Delimited(bytes, FieldId, id);
        Delimited(bytes, FieldType, Encoding.UTF8.GetBytes(EventDecoder.Types[ordinal & 1]));
        var data = new byte[dataBytes];
        var filler = new Random(HashOf(ordinal));
        filler.NextBytes(data);
        Delimited(bytes, FieldData, data);
        if (ordinal % 3 == 1)
        {
            Delimited(bytes, FieldTag, "third"u8);
        }

        if (Tag != NoTag && ordinal % 3 != 2)
        {
            Delimited(bytes, FieldTag, Encoding.UTF8.GetBytes(EventDecoder.Tag(Tag)));
        }

        return [.. bytes];
    }

    private int HashOf(int ordinal) => (int)((ulong)Id * 31 + (ulong)(Id >> 64)) ^ (Variant * 7919) ^ (ordinal * 104729);

    private static void Delimited(List<byte> bytes, int field, ReadOnlySpan<byte> value)
    {
        bytes.Add((byte)((field << 3) | 2));
        var length = (uint)value.Length;
        for (; length >= 0x80; length >>= 7)
        {
            bytes.Add((byte)(length | 0x80));
        }

        bytes.Add((byte)length);
        bytes.AddRange(value);
    }
}
