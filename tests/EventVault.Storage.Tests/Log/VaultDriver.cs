using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Queries;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// Drives a vault's storage as the node does, step by step on one thread, beside a model: a list of what was written
/// and how much of it was acknowledged. After each crash the vault must hold a prefix of that list, of whole appends,
/// with everything acknowledged. Between any two disk operations of the background work the writer may get its turn.
/// </summary>
internal sealed class VaultDriver(Random random, uint segmentSizeBytes = StorageOptions.MinSegmentSizeBytes)
{
    public const string Directory = "/vault";
    private readonly Queue<(GroupBuffer Group, int EventsAfter)> _written = new();
    private readonly Queue<GroupBuffer> _free = new();
    private readonly bool _sealsLate = random.Next(2) == 0;
    private readonly bool _growsOneShard = random.Next(3) == 0;
    private List<string> _names = [];
    private Guid _namesOf;
    private long _clock = 1_000_000;
    private string _doing = "";
    private bool _hasMark;
    private bool _holdsStill;

    public SimulatedFileSystem Files { get; set; } = new();

    public VaultStorage? Storage { get; private set; }

    public VaultModel Model { get; } = new();

    /// <summary>How many of the model's events were acknowledged: durable and committed.</summary>
    public int Acknowledged { get; private set; }

    /// <summary>What the run came through, and how often.</summary>
    public Dictionary<string, int> Covered { get; init; } = [];

    public int UnflushedGroups => _written.Count;

    public void Open()
    {
        _doing = "opening";
        _holdsStill = false;
        _written.Clear();
        Storage = VaultStorage.Open(
            Files, Directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, OperationHorizon = 8192, Random = new Random(random.Next()) }, _clock).CommitAll();
        if (Storage.VaultId != _namesOf)
        {
            (_namesOf, _names) = (Storage.VaultId, MakeNames(Storage.Meta.SipKey));
        }

        Files.OnOperation = Interleave;
    }

    /// <summary>Random work until the simulated disk crashes or the steps are done.</summary>
    public void Run(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            switch (random.Next(10))
            {
                case < 5:
                    WriteGroup();
                    break;
                case < 8:
                    FlushAndCommit();
                    break;
                case 8:
                    StepBackground();
                    break;
                default:
                    Rest();
                    break;
            }
        }

        FlushAndCommit();
    }

    /// <summary>Writes a group of a few random appends. False if there is no room and <paramref name="waits"/> is not set.</summary>
    public bool WriteGroup(bool waits = true)
    {
        var storage = Storage!;
        var tail = storage.Tail;
        if (!_free.TryDequeue(out var group))
        {
            group = new GroupBuffer();
        }

        group.Clear();
        var wanted = random.Next(1, 5);
        for (var i = 0; i < wanted; i++)
        {
            var append = RandomAppend();
            var content = append.Content(storage);
            storage.Reader.LookUp(content, out _);
            Assert.Equal(AppendCheck.Ok, tail.Check(content, out _));
            if (group.IsEmpty)
            {
                if (!MakeRoom(content.EncodedLength, waits))
                {
                    return false;
                }

                tail.Begin(group, content.EncodedLength, _clock += random.Next(0, 3));
            }
            else if (!tail.Fits(group, content))
            {
                break;
            }

            var (first, recordedAt) = tail.Add(group, content);
            Assert.Equal(Model.Count, first.Value);
            Model.Add(append, recordedAt);
            Assert.Equal(AppendCheck.Known, tail.Check(content, out _)); // A retry of what is only on its way.
            if (Model.Count % 16 == 0)
            {
                QueryModel.CheckConditions(storage, Model, conditions: 4, new Random(Model.Count));
                Cover("condition with a group begun");
            }
        }

        tail.Finish(group);
        _written.Enqueue((group, Model.Count));
        _doing = group.Spare is null ? "writing" : "rolling";
        Cover(group.Length > 64 * 1024 ? "group over 64 KiB" : "group");
        if (group.Spare is not null)
        {
            Cover("segment rolled");
            Cover(storage.UnsealedSegments == VaultStorage.MaxUnsealedSegments ? "all three segments unsealed" : "two segments unsealed");
        }

        storage.Log.Write(group);
        _hasMark = false;
        return true;
    }

    public void FlushAndCommit()
    {
        if (_written.Count == 0)
        {
            return;
        }

        _doing = "flushing";
        Storage!.Log.Flush();
        while (_written.TryDequeue(out var written))
        {
            Storage.Commit(written.Group.Index);
            Acknowledged = written.EventsAfter;
            _free.Enqueue(written.Group);
        }
    }

    /// <summary>What the node does when nothing comes for some milliseconds.</summary>
    public void Rest()
    {
        FlushAndCommit();
        if (Storage!.Log.WantsMark)
        {
            _doing = "marking";
            Storage.Log.WriteMark();
            _hasMark = true;
            Cover("commit mark");
        }
    }

    public bool StepBackground()
    {
        _doing = "background";
        var storage = Storage!;
        if (_sealsLate && storage.UnsealedSegments < VaultStorage.MaxUnsealedSegments)
        {
            return storage.Spares.Step();
        }

        var before = storage.SegmentCounts.Sealed;
        var grown = HeadsLength();
        var did = storage.StepBackground();
        if (storage.SegmentCounts.Sealed > before)
        {
            Cover("segment sealed");
            Cover(HeadsLength() > grown ? "heads file grown" : "heads file kept its size");
        }

        return did;
    }

    /// <summary>The next flush fails: nothing may be acknowledged any more, and the node stops.</summary>
    public void FailFlush()
    {
        while (_written.Count == 0)
        {
            WriteGroup();
        }

        if (random.Next(2) == 0)
        {
            Files.FailingFlush.StrikeRandomly(random, 1);
        }
        else
        {
            Files.FailingFlush.StrikeAlways();
        }

        var durable = Storage!.Log.Durable;
        try
        {
            FlushAndCommit();
            Assert.Fail("The flush failed, and yet groups were acknowledged.");
        }
        catch (DiskException)
        {
        }

        Files.FailingFlush.Off();
        Assert.Throws<InvariantException>(FlushAndCommit); // It would succeed now, and mean nothing.
        var group = _written.Peek().Group;
        Assert.Throws<InvariantException>(() => Storage.Log.Write(group));
        Assert.False(Storage.Log.WantsMark);
        Assert.Equal(durable, Storage.Log.Durable);
        Cover("failed flush");
    }

    /// <summary>The power fails; what was not flushed is partly gone.</summary>
    public void CutPower(SimulatedCrashException? crash)
    {
        if (crash is not null)
        {
            Cover($"power lost {Doing(crash.Operation)}");
        }

        Cover(_hasMark ? "power lost with a mark" : "power lost without a mark");
        Cover(_written.Count > 1 ? "power lost with several groups in flight" : "power lost with one group in flight at most");

        // No Dispose: a node without power closes nothing.
        Storage = null;
        Files = Files.Crash(random);
    }

    /// <summary>Someone deletes some of the index, or all of it, while no node runs.</summary>
    public void LoseIndexFiles()
    {
        const string IndexDirectory = Directory + "/index";
        if (!Files.DirectoryExists(IndexDirectory))
        {
            return;
        }

        var chance = random.Next(1, 4);
        foreach (var name in Files.ListFiles(IndexDirectory).Where(_ => random.Next(chance) == 0))
        {
            Files.DeleteFile($"{IndexDirectory}/{name}");
        }

        Files.FlushDirectory(IndexDirectory);
        Cover("index files lost with the power");
    }

    /// <summary>The process is killed; the system keeps what it wrote.</summary>
    public void Kill()
    {
        Cover("killed");
        Storage = null;
        Files.OnOperation = null;
        Files.ReleaseLocks();
    }

    /// <summary>Starts on what is there, and checks that it is a prefix of the model with everything acknowledged.</summary>
    public void Reopen()
    {
        var groups = _written.Count;
        Open();
        var kept = (int)Storage!.Head.Value + 1;
        Assert.InRange(kept, Acknowledged, Model.Count);
        if (Storage.CutBytes > 0)
        {
            Cover(groups > 1 && kept > Acknowledged ? "several groups in flight, some kept, some cut" : "torn tail cut");
        }

        if (Storage.StoppedInOrder)
        {
            Cover("started behind a stop in order");
        }

        if (Storage.HadSavedIndex)
        {
            Cover("started by a saved index");
        }

        Assert.False(_hasMark && Storage.CutBytes > 0, "Nothing is torn behind a mark.");
        Model.CutTo(kept);
        Acknowledged = kept;
        Model.Check(Storage, random);
        _doing = "";
    }

    /// <summary>A node that stops cleanly.</summary>
    public void CleanStop()
    {
        FlushAndCommit();
        _doing = "stopping";
        Storage!.Stop();
        _hasMark = true;
        Assert.False(Storage.Log.WantsMark);
        Cover("stopped in order");
        Storage.Dispose();
        Storage = null;
        Files.OnOperation = null;
    }

    private static string Doing(DiskOperation operation, string doing)
    {
        var file = Path.GetFileName(operation.Path);
        return doing != "background" ? $"while {doing}"
            : operation.Path.Contains("spare", StringComparison.Ordinal) ? "while preparing a segment"
            : file.Contains(".ix", StringComparison.Ordinal) ? "while sealing: index file"
            : file.Contains(".kx", StringComparison.Ordinal) ? "while sealing: key file"
            : file.Contains("operations", StringComparison.Ordinal) ? "while sealing: operations"
            : file.Contains(".seg", StringComparison.Ordinal) ? "while sealing: footer"
            : $"while sealing: {file.Replace(".tmp", "", StringComparison.Ordinal)}";
    }

    private string Doing(DiskOperation operation) => Doing(operation, _doing);

    private long HeadsLength()
    {
        using var file = Files.OpenFile(Directory + "/index/heads", FileOpening.ReadExisting);
        return file.Length;
    }

    private void Cover(string what) => Covered[what] = Covered.GetValueOrDefault(what) + 1;

    private void Interleave(DiskOperation operation)
    {
        if (_doing != "background" || _holdsStill || random.Next(3) != 0)
        {
            return;
        }

        if (random.Next(2) == 0)
        {
            WriteGroup(waits: false);
        }
        else
        {
            FlushAndCommit();
        }

        _doing = "background";
        Cover("writer's turn within background work");
    }

    private bool MakeRoom(int encodedLength, bool waits)
    {
        while (Storage!.Tail.CheckRoom(encodedLength) != RoomCheck.Ok)
        {
            if (!waits)
            {
                return false;
            }

            FlushAndCommit();
            _holdsStill = true; // The writer is us: it waits.
            Assert.True(StepBackground(), "The log waits for room that nobody makes.");
            _holdsStill = false;
        }

        return true;
    }

    // Names that fill one shard of the heads file, so that it grows, or a dozen.
    private List<string> MakeNames(SipKey key)
    {
        const int ShardFillsAt = 45;
        var names = new List<string>();
        for (var i = 0; names.Count < (_growsOneShard ? 3 * ShardFillsAt : 12); i++)
        {
            var name = $"s-{i}";
            if (!_growsOneShard || StreamKey.Compute(Encoding.UTF8.GetBytes(name), key) >> 120 == 7)
            {
                names.Add(name);
            }
        }

        return names;
    }

    private ModelAppend RandomAppend()
    {
        var id = NewId();
        var names = Enumerable.Range(0, random.Next(1, 4)).Select(_ => _names[random.Next(_names.Count)]).Distinct().ToList();
        var isLarge = random.Next(25) == 0;
        var sameAsFirst = random.Next(2) == 0;
        var streams = names.Select((name, i) =>
        {
            var events = Enumerable.Range(0, isLarge ? 1 : random.Next(1, 4)).Select(e =>
            {
                var most = isLarge ? Math.Min((Storage!.MaxAppendBytes / names.Count) - 4096, 200_000) : random.Next(8) == 0 ? 6000 : 200;
                var data = new byte[random.Next(most)];
                random.NextBytes(data);
                return LabelledEvent.Event(i == 0 && e == 0 && sameAsFirst ? id : NewId(), data);
            }).ToArray();
            var last = Model.Versions.GetValueOrDefault(name, -1);
            var expected = random.Next(3) == 0 ? ExpectedKind.Exact : last < 0 ? ExpectedKind.NoStream : random.Next(2) == 0 ? ExpectedKind.Exists : ExpectedKind.Any;
            return (name, expected, expected == ExpectedKind.Exact ? last : -1, events);
        }).ToArray();
        return new ModelAppend(id, streams);
    }

    private UInt128 NewId() => new((ulong)random.NextInt64(), (ulong)random.NextInt64());
}
