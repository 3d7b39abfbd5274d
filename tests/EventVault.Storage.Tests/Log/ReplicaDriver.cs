using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// Two disks of one vault under random leadership, without Raft: a group is committed once both have it durable, so either
/// may lead the next term, and the other one then takes back what the new leader's log does not have. Steps come on one
/// thread; between any two disk operations of a node's background work its writer may get a turn.
/// </summary>
internal sealed class ReplicaDriver
{
    private readonly Random _random;
    private readonly ReplicaNode[] _nodes;
    private readonly string[] _names;
    private int _leader;
    private ulong _term = 1;
    private long _clock = 1_000_000;
    private ReplicaNode _acting;
    private bool _holdsStill;
    private bool _isSettling;
    private bool _mustElect;
    private int _everCommitted;

    public ReplicaDriver(Random random, uint segmentSizeBytes)
    {
        _random = random;
        _nodes = [new ReplicaNode(1, random, segmentSizeBytes), new ReplicaNode(2, random, segmentSizeBytes)];
        _names = [.. Enumerable.Range(0, random.Next(8, 30)).Select(i => $"s-{i}")];
        _acting = _nodes[0];
        Open(_nodes[0]);
        Open(_nodes[1]);
    }

    /// <summary>What the run came through, and how often.</summary>
    public Dictionary<string, int> Covered { get; init; } = [];

    private ReplicaNode Leader => _nodes[_leader];

    private ReplicaNode Follower => _nodes[1 - _leader];

    // Nothing else may be shown to readers, on any node.
    private int Commitable => Math.Min(SharedPrefix(), Math.Min(_nodes[0].Durable, _nodes[1].Durable));

    public void Run(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            try
            {
                if (_mustElect)
                {
                    Elect();
                }

                Step();
            }
            catch (SimulatedCrashException)
            {
                Cover($"power lost while {(_acting.Doing.Length == 0 ? "idle" : _acting.Doing)}");
                _acting.CutPower();
                if (_random.Next(6) == 0)
                {
                    LoseIndexFiles(_acting);
                }

                Reopen(_acting);
            }
        }
    }

    /// <summary>The power of a node goes out within so many of its disk operations.</summary>
    public void ArmPowerLoss(int within)
    {
        var files = _nodes[_random.Next(2)].Files;
        files.CrashAtOperation = files.Operations + _random.Next(1, within);
    }

    /// <summary>Both nodes get all there is, seal what they can, and must have the same files.</summary>
    public void Settle()
    {
        _isSettling = true;
        foreach (var node in _nodes)
        {
            node.Files.CrashAtOperation = long.MaxValue;
        }

        Elect();
        LeadSystem(GroupKind.NoOp);
        while (Follower.Log.Count < Leader.Log.Count || SharedPrefix() < Leader.Log.Count)
        {
            Replicate();
            CommitAll();
            Background(Follower);
        }

        CommitAll();
        foreach (var node in _nodes)
        {
            while (node.Storage!.StepBackground())
            {
            }

            node.Check();
            node.Stop();
            var report = LogVerifier.Verify(node.Files, VaultDriver.Directory);
            Assert.Empty(report.Damage);
            Assert.Null(report.Torn);
        }

        CompareFiles();
    }

    private void Step()
    {
        var node = _nodes[_random.Next(2)];
        switch (_random.Next(20))
        {
            case < 6:
                Lead();
                break;
            case < 10:
                Replicate();
                break;
            case < 12:
                Act(node).Flush();
                break;
            case < 14:
                Commit(node);
                break;
            case < 17:
                Background(node);
                break;
            case 17:
                Act(node).Rest();
                break;
            case 18:
                Elect();
                break;
            default:
                if (_random.Next(6) == 0)
                {
                    Cover("killed");
                    Act(node).Kill();
                    Reopen(node);
                }
                else if (_random.Next(10) == 0)
                {
                    node.Check();
                }

                break;
        }
    }

    private ReplicaNode Act(ReplicaNode node) => _acting = node;

    private void Lead()
    {
        Act(Leader).BeginTerm(_term);
        if (_random.Next(12) == 0)
        {
            LeadSystem(_random.Next(2) == 0 ? GroupKind.NoOp : GroupKind.Membership);
            return;
        }

        var storage = Leader.Storage!;
        var appends = new List<(ModelAppend, long)>();
        var group = Leader.Rent();
        var wanted = _random.Next(1, 5);
        for (var i = 0; i < wanted; i++)
        {
            var append = _random.Next(7) == 0 ? RandomChange(appends) : RandomAppend();
            if (append is null)
            {
                continue;
            }

            var content = append.Content(storage);
            storage.Reader.LookUp(content, out _);
            if (storage.Tail.Check(content, out _) == AppendCheck.Conflict)
            {
                CheckRefused(append, appends);
                continue;
            }
            if (group.IsEmpty)
            {
                if (!MakeRoom(Leader, content.EncodedLength, isSystem: false))
                {
                    Leader.Return(group);
                    Cover("leader without room for appends");
                    return;
                }

                storage.Tail.Begin(group, content.EncodedLength, _clock += _random.Next(0, 3));
            }
            else if (!storage.Tail.Fits(group, content))
            {
                break;
            }

            appends.Add((append, storage.Tail.Add(group, content).RecordedAt));
        }

        if (appends.Count > 0)
        {
            Finish(group, GroupKind.Appends, appends);
        }
        else
        {
            Leader.Return(group); // All of them were refused.
        }
    }

    // What becomes of some stream, if the log as it stands allows it; groups behind the commit index included.
    private ModelAppend? RandomChange(List<(ModelAppend Append, long RecordedAt)> begun)
    {
        var model = TailModel(begun);
        var stream = _names[_random.Next(_names.Length)];
        var last = model.Versions.GetValueOrDefault(stream, -1);
        var kind = _random.Next(12) switch { 0 => StreamChangeKind.Tombstone, < 5 => StreamChangeKind.Delete, _ => StreamChangeKind.Truncate };
        var (_, isTombstoned) = model.Lives.GetValueOrDefault(stream);
        var before = kind == StreamChangeKind.Truncate ? _random.NextInt64(0, last + 3) : last + 1;
        var isAllowed = !isTombstoned && before <= last + 1 && (kind == StreamChangeKind.Tombstone ? last >= 0 : model.HasEvents(stream));
        var change = new ModelChange(kind, stream, before);
        if (isAllowed)
        {
            Cover($"stream: {kind}");
            return ModelAppend.Of(NewId(), change);
        }

        var content = Encoded.Change(Leader.Storage!, NewId(), change);
        Leader.Storage!.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Conflict, Leader.Storage.Tail.Check(content, out _));
        var problem = isTombstoned ? StreamChangeProblem.Tombstoned
            : kind == StreamChangeKind.Truncate && model.HasEvents(stream) ? StreamChangeProblem.BehindEnd
            : StreamChangeProblem.NotFound;
        Assert.Equal(problem, content.Change!.Problem);
        Cover($"stream not changed: {problem}");
        return null;
    }

    // Appends expect nothing, so only a tombstone stands in their way; a change was seen to be possible.
    private void CheckRefused(ModelAppend append, List<(ModelAppend Append, long RecordedAt)> begun)
    {
        var model = TailModel(begun);
        Assert.Null(append.Change);
        Assert.Contains(append.Streams, s => model.Lives.GetValueOrDefault(s.Stream).IsTombstoned);
        Cover("append to a tombstoned stream");
    }

    private VaultModel TailModel(List<(ModelAppend Append, long RecordedAt)> begun)
    {
        var model = ReplicaNode.ModelOf(Leader.Log);
        begun.ForEach(append => model.Add(append.Append, append.RecordedAt));
        return model;
    }

    private void LeadSystem(GroupKind kind)
    {
        Act(Leader).BeginTerm(_term);
        var content = new byte[kind == GroupKind.NoOp ? 0 : _random.Next(1, 300)];
        _random.NextBytes(content);
        if (!MakeRoom(Leader, LogTail.SystemLength(content.Length), isSystem: true))
        {
            Cover("leader without room for a system group");
            return;
        }

        var group = Leader.Rent();
        Leader.Storage!.Tail.BeginSystem(group, kind, content, _clock);
        Cover("system group");
        Finish(group, kind, []);
    }

    private void Finish(GroupBuffer group, GroupKind kind, List<(ModelAppend Append, long RecordedAt)> appends)
    {
        var storage = Leader.Storage!;
        storage.Tail.Finish(group);
        if (group.Spare is not null && storage.UnsealedSegments > VaultStorage.MaxUnsealedSegments)
        {
            Cover("fourth segment for a system group");
        }

        Leader.Write(group, new ModelGroup(group.Index.Value, _term, kind, storage.ReadGroup(group.Index), appends));
    }

    // Sends some groups from where the logs part; the follower takes back what stands in their way.
    private void Replicate()
    {
        Act(Follower);
        var shared = SharedPrefix();
        if (shared == Leader.Log.Count)
        {
            return;
        }

        Follower.BeginTerm(_term);
        if (Follower.Log.Count > shared)
        {
            Truncate(shared);
        }

        for (var i = _random.Next(1, 8); i > 0 && Follower.Log.Count < Leader.Log.Count; i--)
        {
            var model = Leader.Log[Follower.Log.Count];
            var bytes = Leader.Storage!.ReadGroup(new LogIndex(model.Index));
            Assert.True(bytes.AsSpan().SequenceEqual(model.Bytes));
            var group = Follower.Rent();
            var tail = Follower.Storage!.Tail;
            var check = tail.Receive(group, bytes);
            if (check == ReceiveCheck.NoRoom)
            {
                Follower.Return(group);
                Cover("follower without room");
                Background(Follower);
                return;
            }

            Assert.Equal(ReceiveCheck.Ok, check);
            Cover(group.Spare is null ? "received" : "received a group that opens a segment");
            Follower.Write(group, model);
        }
    }

    private void Truncate(int last)
    {
        var node = Follower;
        var before = node.Storage!.SegmentCounts.Unsealed;
        var pending = last > node.Committed;
        var unflushed = node.Durable < node.Log.Count;
        var background = node.IsInBackground;
        Cover("truncated");
        if (!_isSettling && _random.Next(6) == 0)
        {
            node.Files.CrashAtOperation = node.Files.Operations + _random.Next(1, 18); // A truncation has 11 or more.
        }

        node.Truncate(last, _term);
        var removed = before - node.Storage.SegmentCounts.Unsealed;
        Cover(removed > 1 ? "truncated over two segments or more" : removed == 1 ? "truncated over a segment's start" : "truncated within a segment");
        Cover(pending ? "truncated with pending groups kept" : "truncated to what is committed");
        if (unflushed)
        {
            Cover("truncated what was not flushed");
        }

        if (background)
        {
            Cover("truncated within background work");
        }
    }

    private void Commit(ReplicaNode node)
    {
        Act(node);
        if (Commitable > node.Committed)
        {
            node.Commit(_random.Next(node.Committed, Commitable) + 1);
            _everCommitted = Math.Max(_everCommitted, node.Committed);
            Cover("committed");
        }

        if (_random.Next(3) == 0)
        {
            node.CheckListing();
        }
    }

    private void CommitAll()
    {
        foreach (var node in _nodes)
        {
            Act(node).Flush();
        }

        foreach (var node in _nodes)
        {
            Act(node).Commit(Math.Max(node.Committed, Commitable));
            _everCommitted = Math.Max(_everCommitted, node.Committed);
        }
    }

    private bool Background(ReplicaNode node)
    {
        Act(node);
        var before = node.Storage!.SegmentCounts.Sealed;
        var did = node.StepBackground();
        if (node.Storage.SegmentCounts.Sealed > before)
        {
            Cover("segment sealed");
        }

        return did;
    }

    private void Elect()
    {
        _mustElect = false;
        _term++;
        _leader = _random.Next(2);
        Cover("elected");
    }

    private void Reopen(ReplicaNode node)
    {
        while (true)
        {
            try
            {
                Open(node);
                break;
            }
            catch (SimulatedCrashException)
            {
                Cover("power lost while opening");
                node.CutPower();
            }
        }

        if (node == Leader)
        {
            _mustElect = true; // What it had only in memory may be on the other disk: it must not make other groups in that term.
        }
    }

    private void Open(ReplicaNode node)
    {
        Act(node).Open(node.Number == 2 ? _nodes[0].Storage?.Identity ?? _nodes[1].Storage?.Identity : null);
        node.BeginTerm(_term);
        node.Files.OnOperation = _ => Interleave(node);
        Assert.True(node.Committed <= _everCommitted, "What nobody committed was taken for committed.");
        Cover(node.Storage!.Pending.Count > 0 ? "opened with pending groups" : "opened with all committed");
    }

    // Someone deletes some of the index, or all of it, while the node is down: what is committed is proven by less then.
    private void LoseIndexFiles(ReplicaNode node)
    {
        const string IndexDirectory = VaultDriver.Directory + "/index";
        if (!node.Files.DirectoryExists(IndexDirectory))
        {
            return;
        }

        var chance = _random.Next(1, 4);
        foreach (var name in node.Files.ListFiles(IndexDirectory).Where(_ => _random.Next(chance) == 0))
        {
            node.Files.DeleteFile($"{IndexDirectory}/{name}");
        }

        node.Files.FlushDirectory(IndexDirectory);
        Cover("index files lost with the power");
    }

    private void Interleave(ReplicaNode node)
    {
        if (!node.IsInBackground || node.Doing != "background" || _holdsStill || _random.Next(3) != 0)
        {
            return;
        }

        switch (_random.Next(4))
        {
            case 0 when node == Leader:
                Lead();
                break;
            case 1 when node == Follower:
                Replicate();
                break;
            case 2:
                Commit(node);
                break;
            default:
                node.Flush();
                break;
        }

        Act(node).Doing = "background";
        Cover("writer's turn within background work");
    }

    private bool MakeRoom(ReplicaNode node, int length, bool isSystem)
    {
        for (var tries = 0; node.Storage!.Tail.CheckRoom(length, isSystem) != RoomCheck.Ok; tries++)
        {
            if (node.IsInBackground || tries == 100)
            {
                return false;
            }

            _holdsStill = true;
            var did = Background(node);
            _holdsStill = false;
            if (!did)
            {
                return false;
            }
        }

        return true;
    }

    // Groups that both logs have: same index, same term, so the same group.
    private int SharedPrefix()
    {
        var most = Math.Min(_nodes[0].Log.Count, _nodes[1].Log.Count);
        var shared = 0;
        while (shared < most && _nodes[0].Log[shared].Term == _nodes[1].Log[shared].Term)
        {
            shared++;
        }

        return shared;
    }

    private void CompareFiles()
    {
        foreach (var folder in (string[])["log", "index"])
        {
            var directory = $"{VaultDriver.Directory}/{folder}";
            var names = _nodes[0].Files.ListFiles(directory);
            foreach (var name in names.Where(n => n.EndsWith(".seg", StringComparison.Ordinal) || n.EndsWith(".ix", StringComparison.Ordinal) || n.EndsWith(".kx", StringComparison.Ordinal) || n is "catalog" or "state"))
            {
                var first = Content(_nodes[0], $"{directory}/{name}");
                var second = Content(_nodes[1], $"{directory}/{name}");
                Assert.True(first.AsSpan().SequenceEqual(second), $"{name} differs at {first.AsSpan().CommonPrefixLength(second)}.");
            }
        }
    }

    // Without what belongs to the node: a part of each group's header, and the commit marks.
    private static byte[] Content(ReplicaNode node, string path)
    {
        using var file = node.Files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        for (var at = path.EndsWith(".seg", StringComparison.Ordinal) ? Blocks.Size : bytes.Length; at < bytes.Length - Blocks.Size;)
        {
            if (GroupHeader.MayBegin(bytes.AsSpan(at)))
            {
                bytes.AsSpan(at + GroupHeader.SharedLength, GroupHeader.Length - GroupHeader.SharedLength).Clear();
                at += GroupHeader.Length + BitConverter.ToInt32(bytes, at + 8);
            }
            else
            {
                bytes.AsSpan(at, CommitMark.Length).Clear();
                break;
            }
        }

        return bytes;
    }

    private ModelAppend RandomAppend()
    {
        var id = NewId();
        var isLarge = _random.Next(8) == 0;
        var streams = Enumerable.Range(0, isLarge ? 1 : _random.Next(1, 4)).Select(_ => RandomName()).Distinct().Select(name =>
        {
            var events = Enumerable.Range(0, isLarge ? 1 : _random.Next(1, 4)).Select(e =>
            {
                var data = new byte[_random.Next(isLarge ? 50_000 : _random.Next(6) == 0 ? 6_000 : 300)];
                _random.NextBytes(data);
                return LabelledEvent.Event(e == 0 && _random.Next(2) == 0 ? id : NewId(), data);
            }).ToArray();
            return (name, ExpectedKind.Any, -1L, events);
        }).ToArray();
        return new ModelAppend(id, streams);
    }

    // Now and then one that no append had before.
    private string RandomName() => _random.Next(5) == 0 ? $"n-{_random.Next():x}" : _names[_random.Next(_names.Length)];

    private UInt128 NewId() => new((ulong)_random.NextInt64(), (ulong)_random.NextInt64());

    private void Cover(string what) => Covered[what] = Covered.GetValueOrDefault(what) + 1;
}
