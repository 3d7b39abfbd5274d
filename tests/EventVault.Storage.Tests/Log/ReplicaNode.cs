using EventVault.Storage.Log;
using EventVault.Storage.Tests.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>A group as the model knows it: its bytes as they are on every node, and the appends in it.</summary>
internal sealed record ModelGroup(ulong Index, ulong Term, GroupKind Kind, byte[] Bytes, IReadOnlyList<(ModelAppend Append, long RecordedAt)> Appends);

/// <summary>One of the two disks of a <see cref="ReplicaDriver"/>'s vault, with what must be in its log.</summary>
internal sealed class ReplicaNode(uint number, Random random, uint segmentSizeBytes)
{
    private readonly Queue<GroupBuffer> _inUse = new();
    private readonly Queue<GroupBuffer> _free = new();
    private readonly bool _sealsLate = random.Next(2) == 0;
    private int _keptByCut = -1;

    public uint Number => number;

    public SimulatedFileSystem Files { get; private set; } = new();

    public VaultStorage? Storage { get; private set; }

    /// <summary>All groups in its log, pending ones included.</summary>
    public List<ModelGroup> Log { get; } = [];

    /// <summary>How many of them a flush made durable.</summary>
    public int Durable { get; private set; }

    public int Committed => (int)Storage!.CommitIndex.Value;

    /// <summary>What it is doing, for the story that a failure tells.</summary>
    public string Doing { get; set; } = "";

    public bool IsInBackground { get; private set; }

    public void Open(VaultIdentity? join)
    {
        Doing = "opening";
        Storage = VaultStorage.Open(
            Files, VaultDriver.Directory,
            new StorageOptions { SegmentSizeBytes = segmentSizeBytes, OperationHorizon = 8192, NodeId = number, Join = join, Random = new Random(random.Next()) }, 1_000_000);
        _inUse.Clear();
        CheckOpened();
        Doing = "";
    }

    public GroupBuffer Rent()
    {
        if (!_free.TryDequeue(out var group))
        {
            group = new GroupBuffer();
        }

        group.Clear();
        return group;
    }

    /// <summary>A group that was rented and turned out not to be needed.</summary>
    public void Return(GroupBuffer group) => _free.Enqueue(group);

    /// <summary>What a node does before it makes or receives groups of a term.</summary>
    public void BeginTerm(ulong term)
    {
        if (Storage!.Vote.Term.Value < term)
        {
            Doing = "voting";
            Storage.BeginTerm(term);
            Doing = "";
        }

        Storage.Tail.Term = new Term(term);
    }

    /// <summary>Hands a group over to the writer, which writes it at once and flushes it later.</summary>
    public void Write(GroupBuffer group, ModelGroup model)
    {
        Doing = group.Spare is null ? "writing" : "rolling";
        Log.Add(model);
        _inUse.Enqueue(group);
        Storage!.Log.Write(group);
        Doing = "";
    }

    public void Flush()
    {
        Doing = "flushing";
        Storage!.Log.Flush();
        Durable = Log.Count;
        Doing = "";
    }

    public void Commit(int upTo)
    {
        Storage!.Commit(new LogIndex((ulong)upTo));
        while (_inUse.TryPeek(out var group) && group.Index.Value <= (ulong)upTo && group.Index.Value <= (ulong)Durable)
        {
            _free.Enqueue(_inUse.Dequeue());
        }
    }

    /// <summary>Takes back what is behind a group, because the leader of this term has others there.</summary>
    public void Truncate(int last, ulong term)
    {
        BeginTerm(term);
        var order = Storage!.Tail.Truncate(new LogIndex((ulong)last));
        Assert.Equal((ulong)last, Storage.Tail.LastIndex.Value);
        CheckTail(Log.GetRange(0, last), Log.Skip(last));
        Doing = "truncating";
        _keptByCut = last;
        Storage.Log.Truncate(order);
        _keptByCut = -1;
        Doing = "";
        Log.RemoveRange(last, Log.Count - last);
        Durable = Log.Count;
        _inUse.Clear();
    }

    public void Rest()
    {
        Flush();
        if (Storage!.Log.WantsMark)
        {
            Doing = "marking";
            Storage.Log.WriteMark();
            Doing = "";
        }
    }

    public bool StepBackground()
    {
        if (IsInBackground)
        {
            return false;
        }

        var storage = Storage!;
        Doing = "background";
        IsInBackground = true;
        var did = _sealsLate && storage.UnsealedSegments <= VaultStorage.MaxUnsealedSegments ? storage.Spares.Step() : storage.StepBackground();
        IsInBackground = false;
        Doing = "";
        return did;
    }

    public void CutPower()
    {
        Storage = null;
        IsInBackground = false;
        Files = Files.Crash(random);
    }

    /// <summary>The process is killed; the system keeps what it wrote.</summary>
    public void Kill()
    {
        Storage = null;
        IsInBackground = false;
        Files.OnOperation = null;
        Files.ReleaseLocks();
    }

    public void Stop()
    {
        Rest();
        Storage!.Dispose();
        Storage = null;
    }

    /// <summary>Compares all that is committed with the model, in every kind of read, and the tail behind it.</summary>
    public void Check()
    {
        ModelOf(Log.Take(Committed)).Check(Storage!, random);
        CheckTail(Log, []);
        CheckGroups();
    }

    /// <summary>What these groups hold, as lists.</summary>
    public static VaultModel ModelOf(IEnumerable<ModelGroup> groups)
    {
        var model = new VaultModel();
        foreach (var (append, recordedAt) in groups.SelectMany(g => g.Appends))
        {
            model.Add(append, recordedAt);
        }

        return model;
    }

    /// <summary>All streams are listed that have committed events that can be read, and no others.</summary>
    public void CheckListing()
    {
        var model = ModelOf(Log.Take(Committed));
        var streams = model.Versions.Keys.Where(s => s[0] != '$' && model.HasEvents(s)).Order(StringComparer.Ordinal);
        Assert.Equal(streams, Storage!.Streams.List(default, default, int.MaxValue).Select(d => System.Text.Encoding.UTF8.GetString(d.Name)));
    }

    /// <summary>Every group, pending or not, has the bytes that it has on every node.</summary>
    private void CheckGroups()
    {
        if (Log.Count == 0)
        {
            return;
        }

        var storage = Storage!;
        var groups = new List<StoredGroup>();
        var from = random.Next(Log.Count);
        storage.ReadGroups(new LogIndex((ulong)from + 1), new LogIndex(ulong.MaxValue), random.Next(1, 40), long.MaxValue, groups);
        for (var i = 0; i < groups.Count; i++)
        {
            var model = Log[from + i];
            Assert.Equal((model.Index, model.Term, model.Kind, model.Bytes.Length), (groups[i].Index.Value, groups[i].Term.Value, groups[i].Kind, groups[i].Length));
            var bytes = storage.ReadGroup(groups[i].Index);
            Assert.True(bytes.AsSpan().SequenceEqual(model.Bytes), $"Group {model.Index} has other bytes on node {number}.");
            Assert.True(storage.TryInspect(bytes, out var inspected));
            Assert.Equal(groups[i].SystemContent, inspected.SystemContent);
        }
    }

    // What appends are checked against: these groups, and nothing of those that were taken back.
    private void CheckTail(List<ModelGroup> kept, IEnumerable<ModelGroup> taken)
    {
        var storage = Storage!;
        var last = kept.Count > 0 ? kept[^1] : null;
        Assert.Equal((ulong)kept.Count, storage.Tail.LastIndex.Value);
        Assert.Equal(last?.Term ?? 0, storage.Tail.LastTerm.Value);
        var model = ModelOf(kept);
        Assert.Equal(kept.Sum(g => g.Appends.Sum(a => a.Append.EventCount)) - 1, storage.Tail.Last.Value);
        QueryModel.CheckConditions(storage, model, conditions: 4, new Random(model.Count));
        var keptIds = kept.SelectMany(g => g.Appends).Select(a => a.Append.Id).ToHashSet();
        foreach (var (append, _) in kept.Skip(Committed).Concat(taken).SelectMany(g => g.Appends).Take(12))
        {
            var retry = append.Content(storage);
            storage.Reader.LookUp(retry, out _);
            var isKnown = storage.Tail.Check(retry, out _) == AppendCheck.Known;
            Assert.True(isKnown == keptIds.Contains(append.Id), $"Operation {append.Id:x}: known {isKnown}.");
        }

        var streams = model.Versions.Concat(taken.SelectMany(g => g.Appends).SelectMany(a => a.Append.Streams).Select(s => s.Stream).Except(model.Versions.Keys).Select(s => KeyValuePair.Create(s, -1L)));
        foreach (var (stream, version) in streams)
        {
            CheckTail(stream, ExpectedKind.Exact, version, model);
            CheckTail(stream, model.HasEvents(stream) ? ExpectedKind.Exists : ExpectedKind.NoStream, -1, model);
        }
    }

    private void CheckTail(string stream, ExpectedKind expected, long version, VaultModel model)
    {
        var next = Encoded.Append(Storage!, 77, (stream, expected, version, [Encoded.Event(77, "T", "x"u8)]));
        Storage!.Reader.LookUp(next, out _);
        var check = Storage.Tail.Check(next, out _);
        var (first, isTombstoned) = model.Lives.GetValueOrDefault(stream);
        var row = next.Streams[0];
        Assert.True(
            check == (isTombstoned ? AppendCheck.Conflict : AppendCheck.Ok) && LogTail.Holds(row),
            $"Stream {stream}, versions {first} to {version}, tombstoned: {isTombstoned}, is taken for {row.FirstVisible} to {row.Actual}, tombstoned: {row.IsTombstoned}.");
        Assert.Equal((first, isTombstoned), (row.FirstVisible.Value, row.IsTombstoned));
    }

    // After any stop: a prefix of what was written with all that was durable, or exactly what a truncation under way keeps.
    private void CheckOpened()
    {
        var kept = (int)Storage!.Tail.LastIndex.Value;
        if (_keptByCut >= 0 && kept == _keptByCut)
        {
            Durable = kept;
        }

        _keptByCut = -1;
        Assert.True(kept >= Durable && kept <= Log.Count, $"Node {number} opened with {kept} groups; {Durable} were durable of {Log.Count}.");
        Log.RemoveRange(kept, Log.Count - kept);
        Durable = kept;
        Assert.InRange(Committed, 0, kept);
        CheckRaft();
        Check();
    }

    private void CheckRaft()
    {
        var runs = Log.Where((g, i) => i == 0 || Log[i - 1].Term != g.Term).Select(g => (g.Index, g.Term));
        Assert.Equal(runs, Storage!.Raft.TermRuns.Select(r => (r.First.Value, r.Term.Value)));
        var memberships = Log.Where(g => g.Kind == GroupKind.Membership).Select(g => g.Index).ToList();
        var newest = memberships.FindLastIndex(i => i <= (ulong)Committed);
        Assert.Equal(memberships.Skip(Math.Max(0, newest)), Storage.Raft.Memberships.Select(m => m.Index.Value));
    }
}
