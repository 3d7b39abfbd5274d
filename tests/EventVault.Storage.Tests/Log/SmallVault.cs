using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>A vault written step by step as a test says, with its model. Repeatable: the same calls give the same bytes.</summary>
internal sealed class SmallVault
{
    public const string Directory = "/vault";

    /// <summary>Appends whose operation ids are remembered.</summary>
    public const int DefaultHorizon = 8192;

    private readonly Queue<GroupBuffer> _written = new();
    private readonly Random _random;
    private readonly int _seed;
    private readonly uint _segmentSizeBytes;
    private readonly int _horizon;
    private long _clock = 1_000_000;
    private UInt128 _lastId;

    public SmallVault(SimulatedFileSystem? files = null, uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes, int seed = 1, int horizon = DefaultHorizon)
    {
        Files = files ?? new SimulatedFileSystem();
        _random = new Random(seed);
        _seed = seed;
        _segmentSizeBytes = segmentSizeBytes;
        _horizon = horizon;
        Storage = Open(Files, segmentSizeBytes, seed, horizon);
    }

    public SimulatedFileSystem Files { get; private set; }

    public VaultStorage Storage { get; private set; }

    public VaultModel Model { get; } = new();

    /// <summary>The clock, 100 ns ticks since 1970: the time of the last group. It only goes on.</summary>
    public long Clock
    {
        get => _clock;
        set => _clock = Math.Max(_clock, value);
    }

    public static VaultStorage Open(
        IFileSystem files, uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes, int seed = 1, int horizon = DefaultHorizon) => VaultStorage.Open(
        files, Directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, OperationHorizon = horizon, Random = new Random(seed) }, now: 1_000_000).CommitAll();

    /// <summary>An append of one event with so many random bytes of data.</summary>
    public ModelAppend Event(string stream, int dataBytes)
    {
        var data = new byte[dataBytes];
        _random.NextBytes(data);
        return Event(stream, data);
    }

    public ModelAppend Event(string stream, byte[] data)
    {
        var id = ++_lastId;
        return new ModelAppend(id, [(stream, ExpectedKind.Any, -1, [Encoded.Event(id, "T", data, tags: ["a"], metadata: [("k", "v")])])]);
    }

    /// <summary>Sets a retention rule, or takes it back.</summary>
    public ModelAppend Retain(RetentionScope scope, string name, RetentionRule? rule) =>
        ModelAppend.Of(++_lastId, new RetentionSetting(scope, System.Text.Encoding.UTF8.GetBytes(name), rule));

    /// <summary>What becomes of a stream; of a truncation with the first version that is kept.</summary>
    public ModelAppend Change(StreamChangeKind kind, string stream, long before = 0) =>
        ModelAppend.Of(++_lastId, new ModelChange(kind, stream, kind == StreamChangeKind.Truncate ? before : Model.Versions[stream] + 1));

    /// <summary>A truncation with an anchor in each of these streams, which rests on what is there now.</summary>
    public ModelAppend Anchored(string stream, long before, params string[] anchors)
    {
        var id = ++_lastId;
        var events = anchors.Select((a, i) => (a, Encoded.Event(id + (UInt128)(1 + i), "$anchor", System.Text.Encoding.UTF8.GetBytes($"{stream}@{before - 1}"))));
        _lastId += (UInt128)anchors.Length;
        var rest = new ModelAnchors(Model.Versions.GetValueOrDefault("$reducers", -1), Model.Lives.GetValueOrDefault(stream).First, [.. events]);
        return ModelAppend.Of(id, new ModelChange(StreamChangeKind.Truncate, stream, before) { Anchors = rest });
    }

    /// <summary>Starts or stops a scavenge.</summary>
    public ModelAppend Scavenge(ScavengeChange change = ScavengeChange.Start) => ModelAppend.Of(++_lastId, change, Storage.OperationFloor.Value);

    /// <summary>Starts a scavenge and steps it until there is nothing to do.</summary>
    public ScavengeProgress ScavengeAll()
    {
        Write(Scavenge());
        Flush();
        StepAll();
        return StepScavenge();
    }

    /// <summary>Steps the scavenge until there is nothing to do.</summary>
    public ScavengeProgress StepScavenge()
    {
        while (Storage.Scavenger.Step(Storage.CommitIndex))
        {
        }

        return Storage.Scavenger.Progress;
    }

    /// <summary>Writes one group with these appends; durable after <see cref="Flush"/>.</summary>
    public GroupBuffer Write(params ModelAppend[] appends)
    {
        var group = new GroupBuffer();
        foreach (var append in appends)
        {
            var content = append.Content(Storage);
            Storage.Reader.LookUp(content, out _);
            Assert.Equal(AppendCheck.Ok, Storage.Tail.Check(content, out _));
            if (group.IsEmpty)
            {
                while (Storage.Tail.CheckRoom(content.EncodedLength) != RoomCheck.Ok)
                {
                    Flush();
                    Assert.True(Storage.StepBackground());
                }

                Storage.Tail.Begin(group, content.EncodedLength, ++_clock);
            }

            Assert.True(group.IsEmpty || Storage.Tail.Fits(group, content));
            var (_, recordedAt) = Storage.Tail.Add(group, content);
            Model.Add(append, recordedAt);
        }

        Storage.Tail.Finish(group);
        Storage.Log.Write(group);
        _written.Enqueue(group);
        return group;
    }

    /// <summary>A system group; durable and committed after <see cref="Flush"/>.</summary>
    public GroupBuffer WriteSystem(GroupKind kind, byte[] content)
    {
        var group = new GroupBuffer();
        while (Storage.Tail.CheckRoom(LogTail.SystemLength(content.Length), isSystem: true) != RoomCheck.Ok)
        {
            Flush();
            Assert.True(Storage.StepBackground());
        }

        Storage.Tail.BeginSystem(group, kind, content, ++_clock);
        Storage.Tail.Finish(group);
        Storage.Log.Write(group);
        _written.Enqueue(group);
        return group;
    }

    /// <summary>A new term, and its leader's first group.</summary>
    public GroupBuffer Lead(ulong term)
    {
        Storage.BeginTerm(term);
        return WriteSystem(GroupKind.NoOp, []);
    }

    public void Flush()
    {
        if (_written.Count > 0)
        {
            Storage.Log.Flush();
            while (_written.TryDequeue(out var group))
            {
                Storage.Commit(group.Index);
            }
        }
    }

    /// <summary>A group with one event, flushed.</summary>
    public GroupBuffer Append(string stream, int dataBytes = 60)
    {
        var group = Write(Event(stream, dataBytes));
        Flush();
        return group;
    }

    /// <summary>Seals what can be sealed and prepares the next segment.</summary>
    public void StepAll()
    {
        while (Storage.StepBackground())
        {
        }
    }

    public void Mark() => Storage.Log.WriteMark();

    /// <summary>A clean stop.</summary>
    public void Stop()
    {
        Flush();
        Storage.Stop();
        Storage.Dispose();
    }

    /// <summary>The process dies; every byte written stays.</summary>
    public void Kill() => Files.ReleaseLocks();

    public void Reopen() => Storage = Open(Files, _segmentSizeBytes, _seed, _horizon);

    /// <summary>The disk's content as a disk of its own. Everything was flushed.</summary>
    public SimulatedFileSystem Copy() => Files.Crash(new Random(1));

    /// <summary>A vault with two sealed segments, the second with a huge event, and an unsealed one.</summary>
    public static SmallVault WithSealedSegments()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 8; i++)
        {
            vault.Append($"a-{i % 3}");
        }

        vault.Append("big-1", 55_000);
        vault.Append("a-0", 3_000);
        for (var i = 0; i < 5; i++)
        {
            vault.Append($"a-{i}");
        }

        vault.StepAll();
        Assert.Equal((2, 1), vault.Storage.SegmentCounts);
        return vault;
    }
}
