using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Models;

/// <summary>
/// A vault on a simulated disk beside two plain lists: all that was handed to the log, and what of it is committed. Groups are
/// begun, written, flushed and committed when a step says so, or when there is no other way on.
/// </summary>
internal sealed class ModelVault(Dictionary<string, int> covered)
{
    /// <summary>Small, so that runs of some dozen appends go beyond it.</summary>
    public const int Horizon = 8;

    private readonly List<(GroupBuffer Buffer, int EventsAfter)> _pending = [];
    private SimulatedFileSystem _files = new();
    private GroupBuffer? _begun;
    private VaultStorage? _storage;
    private long _clock = 1_000_000;

    /// <summary>The clock, 100 ns ticks since 1970; it only goes on. Groups and retention go by it.</summary>
    public long Clock
    {
        get => _clock;
        set => _clock = Math.Max(_clock, value);
    }

    /// <summary>Open always, but within a restart.</summary>
    public VaultStorage Storage => _storage ??= Open();

    /// <summary>All that stands in the log, the begun group included: what the sequencer goes by.</summary>
    public VaultModel All { get; } = new();

    /// <summary>What is committed: what readers go by.</summary>
    public VaultModel Committed { get; } = new();

    public void Count(string what) => covered[what] = covered.GetValueOrDefault(what) + 1;

    /// <summary>Writes a checked append, into the begun group if it fits.</summary>
    public void Write(ModelAppend append, AppendContent content)
    {
        var tail = Storage.Tail;
        if (_begun is not null && !tail.Fits(_begun, content))
        {
            Close();
        }

        if (_begun is null)
        {
            while (tail.CheckRoom(content.EncodedLength) != RoomCheck.Ok)
            {
                Flush();
                Commit(int.MaxValue);
                Assert.True(Storage.StepBackground(), "The log waits for room that nobody makes.");
            }

            _begun = new GroupBuffer();
            tail.Begin(_begun, content.EncodedLength, ++_clock);
        }

        var (first, recordedAt) = tail.Add(_begun, content);
        Assert.Equal(All.Count, first.Value);
        All.Add(append, recordedAt);
    }

    public void Close()
    {
        if (_begun is { } group)
        {
            _begun = null;
            Storage.Tail.Finish(group);
            Storage.Log.Write(group);
            _pending.Add((group, All.Count));
        }
    }

    public void Flush()
    {
        Close();
        if (Storage.Log.HasUnflushed)
        {
            Storage.Log.Flush();
        }
    }

    /// <summary>Commits so many groups, as far as they are durable.</summary>
    public void Commit(int groups)
    {
        while (groups-- > 0 && _pending.Count > 0 && _pending[0].Buffer.Index <= Storage.Log.Durable)
        {
            Storage.Commit(_pending[0].Buffer.Index);
            CommitModel(_pending[0].EventsAfter);
            _pending.RemoveAt(0);
        }
    }

    /// <summary>Takes back so many groups, as far as they are not committed, because another node led meanwhile.</summary>
    public void Cut(int groups)
    {
        Close();
        groups = Math.Min(groups, _pending.Count);
        if (groups > 0)
        {
            Storage.BeginTerm(Storage.Vote.Term.Value + 1);
            var first = _pending[^groups].Buffer;
            Storage.Log.Truncate(Storage.Tail.Truncate(new LogIndex(first.Index.Value - 1)));
            All.CutTo((int)first.FirstPosition.Value);
            _pending.RemoveRange(_pending.Count - groups, groups);
            Count(_pending.Count > 0 ? "cut, pending groups kept" : "cut");
        }
    }

    public void Seal(int times)
    {
        var before = Storage.SegmentCounts.Sealed;
        while (times-- > 0 && Storage.StepBackground())
        {
        }

        if (Storage.SegmentCounts.Sealed > before)
        {
            Count("sealed");
            CheckFloor();
        }
    }

    /// <summary>Whether some segment was written anew: times of what is gone are no longer known.</summary>
    public bool IsScavenged => Storage.View.Sealed.Any(s => s.Scavenged is not null);

    public void Rewrite(int times)
    {
        var before = Storage.View.Sealed.Count(s => s.Scavenged is not null);
        while (times-- > 0 && Storage.Scavenger.Step(Storage.CommitIndex))
        {
        }

        if (Storage.View.Sealed.Count(s => s.Scavenged is not null) > before)
        {
            Count("scavenged");
        }
    }

    public void Restart(RestartStep step)
    {
        if (step.IsClean)
        {
            Flush();
            Storage.Stop();
            Storage.Dispose();
            Count("restarts");
            if (SavedIndexCheck.Compare(_files, Open))
            {
                Count("saved indexes compared");
            }
        }
        else
        {
            All.CutTo(_pending.Count > 0 ? _pending[^1].EventsAfter : Committed.Count); // A begun group was in memory alone.
            Count(_pending.Count > 0 ? "power losses with groups in flight" : "power losses");
        }

        var durable = step.IsClean ? All.Count : _pending.LastOrDefault(g => g.Buffer.Index <= Storage.Log.Durable).EventsAfter;
        durable = Math.Max(durable, Committed.Count);
        _files = step.IsClean ? _files : _files.Crash(new Random(step.Luck));
        _begun = null;
        _storage = null;
        LoseIndexFiles(step.LostIndexFiles);

        var kept = (int)Storage.Head.Value + 1;
        Assert.InRange(kept, durable, All.Count);
        All.CutTo(kept);
        CommitModel(kept);
        _pending.Clear();
        CheckFloor();
    }

    /// <summary>Whether an append may be forgotten: it lies at or before the floor, and is none of the last appends.</summary>
    public bool MayForget(ModelAppend append)
    {
        var behind = Committed.Events.Skip(append.First + append.EventCount).Select(e => e.Append).Distinct().Count();
        return append.First <= Storage.OperationFloor.Value && behind >= Horizon;
    }

    /// <summary>Everything that can be read, in every way.</summary>
    public void CheckState() => Committed.CheckReads(Storage, new Random(All.Count));

    private VaultStorage Open() => Open(_files);

    private VaultStorage Open(SimulatedFileSystem files)
    {
        var storage = VaultStorage.Open(
            files, SmallVault.Directory, new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes, OperationHorizon = Horizon, Random = new Random(1) }, now: _clock);
        storage.Tail.Term = storage.Vote.Term;
        return storage.CommitAll();
    }

    private void CommitModel(int events)
    {
        while (Committed.Count < events)
        {
            var next = All.Events[Committed.Count];
            Committed.Add(next.Append, next.RecordedAt);
        }

        Assert.Equal(events, Committed.Count);
        Assert.Equal(events - 1, Storage.Head.Value);
    }

    private void LoseIndexFiles(int mask)
    {
        const string IndexDirectory = SmallVault.Directory + "/index";
        if (!_files.DirectoryExists(IndexDirectory))
        {
            return; // Nothing was ever flushed.
        }

        var lost = _files.ListFiles(IndexDirectory).Order(StringComparer.Ordinal).Where((_, i) => (mask >> (i % 8) & 1) != 0).ToList();
        lost.ForEach(name => _files.DeleteFile($"{IndexDirectory}/{name}"));
        _files.FlushDirectory(IndexDirectory);
        if (lost.Count > 0)
        {
            Count("index files lost");
        }
    }

    private void CheckFloor()
    {
        var floor = Storage.OperationFloor.Value;
        Assert.InRange(floor, -1, Committed.Count - 1);
        if (floor >= 0)
        {
            Count("floor risen");
        }
    }
}
