// Gathers segments from other nodes, piece by piece, once a leader said that groups alone won't do. A plain object: it says what to ask
// of whom, and takes the answers; who drives it (ShipTask, or the simulation) carries them. Reads and writes files of the folder ship/ only, which
// are nobody else's. What it gathered stays over failures and restarts.
//
// A damaged sealed segment is repaired in the same way: one segment, and only what the catalog says that it was. Who has no such one, or whose bytes
// don't check out, is not asked again for it.
//
// It never decides what is right: ShipFolder checks every segment when all of it is there, and the start that installs checks all again.
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Shipping;

namespace EventVault.Node.Peers.Shipping;

/// <summary>What to ask a node for.</summary>
/// <param name="From">The node.</param>
/// <param name="Kind">What.</param>
/// <param name="Content">The request.</param>
internal sealed record ShipAsk(ReplicaId From, PeerRequestKind Kind, byte[] Content);

/// <summary>Pulls segments. One thread at a time.</summary>
/// <param name="storage">Of this node, which is behind.</param>
/// <param name="mostSegments">Most segments of a plan; less in tests.</param>
internal sealed class SegmentReceiver(VaultStorage storage, int mostSegments = SegmentReceiver.MostSegments)
{
    /// <summary>Failures in a row, about a minute of them, behind which it waits to be told again.</summary>
    private const int MostFailures = 12;

    /// <summary>The first pause behind a failure; each one behind it is twice as long.</summary>
    private const long FirstPauseMs = 100;

    /// <summary>The longest one.</summary>
    private const long LongestPauseMs = 10_000;

    /// <summary>What lacks more is not helped by segments: a plan names all of them.</summary>
    public const int MostSegments = ShipFolder.MostSegments;

    private readonly ShipFolder _folder = new(storage, mostSegments);
    private readonly Queue<ShippedSegment> _listed = new();
    private readonly HashSet<ReplicaId> _unfit = []; // Can't help with the repair.
    private ShippedSegment? _repair;
    private ReplicaId _asked;
    private bool _isOpen;
    private bool _isGathered;
    private bool _isAsking;
    private bool _hasPart;
    private int _failures;
    private int _source;
    private int _sourceCount;
    private int _noFurther; // Sources in a row that have no more than this node.
    private long _notBefore;

    /// <summary>Whether it was told to, and is not done.</summary>
    public bool IsOrdered { get; private set; }

    /// <summary>Whether a plan is written: the next start installs it. Nothing more is done until then.</summary>
    /// <remarks>Not while a seal waits for room: a start can't.</remarks>
    public bool WantsReopening => _isGathered && !storage.SealingIsBlocked;

    /// <summary>Why it does not go on at the moment; null: it does.</summary>
    public string? Problem { get; private set; }

    /// <summary>Segments that are here as a whole.</summary>
    public int Gathered => _folder.WholeCount;

    /// <summary>Whether it can never bring what is lacking: <see cref="Problem"/> says why, and no order changes it before another start.</summary>
    public bool IsHopeless { get; private set; }

    /// <summary>A leader says that this node is too far behind for groups alone.</summary>
    public void Order()
    {
        if (!_isGathered && !IsOrdered && !IsHopeless)
        {
            (IsOrdered, _failures, _notBefore, Problem, _noFurther) = (true, 0, 0, null, 0);
        }
    }

    /// <summary>Whether what it was told is to replace one damaged segment.</summary>
    public bool IsRepairing => _repair is not null;

    /// <summary>A sealed segment is damaged here. Only when nothing else is ordered: what was gathered for that goes.</summary>
    /// <param name="damaged">What it must be.</param>
    public void OrderRepair(in ShippedSegment damaged)
    {
        Invariant.Check(!IsOrdered && !_isGathered && damaged.Form != ShippedForm.Beginning);
        Order();
        (_repair, _isOpen) = (damaged, false);
        _unfit.Clear();
    }

    /// <summary>Milliseconds until it wants to ask again; 0: now, or there is nothing to ask.</summary>
    public long PauseMs(long nowMs) => IsOrdered && !WantsReopening ? Math.Max(0, _notBefore - nowMs) : 0;

    /// <summary>What to ask next; null: nothing, at the moment. An answer or a failure must come before it is called again.</summary>
    /// <param name="nowMs">A clock that only goes on, in milliseconds.</param>
    /// <param name="sources">Who may have segments, the best ones first.</param>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public ShipAsk? Next(long nowMs, IReadOnlyList<ReplicaId> sources)
    {
        Invariant.Check(!_isAsking, "One request at a time.");
        _sourceCount = sources.Count;
        if (!IsOrdered || _isGathered || nowMs < _notBefore || sources.Count == 0)
        {
            return null;
        }

        try
        {
            if (!_isOpen)
            {
                Open();
            }

            if (SourceOf(sources) is { } source)
            {
                return Ask(source, nowMs);
            }

            GiveUp();
            Problem = "no other node has a sound one of the same form";
            return null;
        }
        catch (DiskException e) when (e.IsFull)
        {
            Fail("the disk is full", nowMs);
            return null;
        }
    }

    /// <summary>The answer to what was asked last.</summary>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    public void Answered(ReadOnlySpan<byte> answer, long nowMs)
    {
        Invariant.Check(_isAsking);
        _isAsking = false;
        try
        {
            if (_hasPart)
            {
                _hasPart = false;
                TakeBytes(answer, nowMs);
            }
            else
            {
                TakeList(answer, nowMs);
            }
        }
        catch (DiskException e) when (e.IsFull)
        {
            Fail("the disk is full", nowMs);
        }
    }

    /// <summary>What was asked last was refused, or nobody answered.</summary>
    public void Failed(string why, long nowMs)
    {
        Invariant.Check(_isAsking);
        (_isAsking, _hasPart) = (false, false);
        Fail(why, nowMs);
    }

    /// <summary>Closes what is open.</summary>
    public void Close() => _folder.Close();

    private void Open()
    {
        if (_repair is { } damaged)
        {
            _folder.OpenForRepair(damaged.Segment);
        }
        else
        {
            _folder.Open(); // Reads what an earlier run has left.
        }

        _isOpen = true;
    }

    private ReplicaId? SourceOf(IReadOnlyList<ReplicaId> sources)
    {
        for (var i = 0; i < sources.Count; i++)
        {
            if (!_unfit.Contains(sources[(_source + i) % sources.Count]))
            {
                return sources[(_source + i) % sources.Count];
            }
        }

        return null;
    }

    private ShipAsk? Ask(ReplicaId from, long nowMs)
    {
        _asked = from;
        while (_listed.TryPeek(out var segment))
        {
            if (_folder.IsFull && segment.Form != ShippedForm.Beginning)
            {
                GiveUpForGood();
                return null;
            }

            var offset = _folder.BeginPart(segment);
            if (_folder.Missing > 0)
            {
                (_isAsking, _hasPart) = (true, true);
                return new ShipAsk(from, PeerRequestKind.SegmentBytes, ShipMessages.SegmentBytes(segment, offset, (int)Math.Min(ShipSource.MostBytes, _folder.Missing)));
            }

            FinishSegment(nowMs); // All of it was here before.
            if (_isGathered || !IsOrdered || nowMs < _notBefore)
            {
                return null;
            }
        }

        _isAsking = true;
        return new ShipAsk(from, PeerRequestKind.Segments, ShipMessages.Segments(_folder.Next));
    }

    private void TakeList(ReadOnlySpan<byte> answer, long nowMs)
    {
        if (ShipMessages.ReadSegmentsAnswer(answer, _folder.Next, storage.SegmentSizeBytes) is not { } list)
        {
            Fail("its list of segments contradicts itself", nowMs);
            return;
        }

        if (_repair is { } damaged)
        {
            if (list is [var first, ..] && first == damaged)
            {
                _listed.Enqueue(first);
                CheckRoom(nowMs);
            }
            else
            {
                _unfit.Add(_asked);
                Fail($"it has no segment {damaged.Segment} of the same form and digest", nowMs);
            }

            return;
        }

        // Another follower may be no further than this one, and the leader, which is asked last, all the same. Only if nobody is, groups that came
        // meanwhile have brought this log as far.
        if (list is [.., { Form: ShippedForm.Beginning } last] && storage.CommitIndex.Value >= last.LastIndex.Value)
        {
            if (++_noFurther < _sourceCount)
            {
                Fail("it is no further than this node", nowMs);
                return;
            }

            _folder.Clear();
            (IsOrdered, _isOpen) = (false, false);
            return;
        }

        if (list.Count == 0 || (list[0].Form == ShippedForm.Beginning && _folder.WholeCount == 0))
        {
            Fail("it has no segments that are lacking here", nowMs);
            return;
        }

        _noFurther = 0;
        list.ForEach(_listed.Enqueue);
        CheckRoom(nowMs);
    }

    private void TakeBytes(ReadOnlySpan<byte> answer, long nowMs)
    {
        if (!ShipMessages.TryReadBytes(answer, out var bytes) || bytes.Length > _folder.Missing)
        {
            Fail("a piece came garbled", nowMs);
            return;
        }

        _folder.Add(bytes);
        if (_folder.Missing == 0)
        {
            FinishSegment(nowMs);
        }
    }

    private void FinishSegment(long nowMs)
    {
        var segment = _listed.Dequeue();
        if (_folder.Finish() is { } problem)
        {
            if (_repair is not null)
            {
                _unfit.Add(_asked);
            }

            Fail(problem, nowMs);
            return;
        }

        (_failures, Problem) = (0, null);
        if (_repair is not null)
        {
            _folder.WriteRepair();
            _isGathered = true;
        }
        else if (segment.Form == ShippedForm.Beginning)
        {
            _folder.WritePlan();
            _isGathered = true;
        }
        else
        {
            CheckRoom(nowMs);
        }
    }

    // Looked at before each segment: what it takes comes beside the files that it will replace.
    private void CheckRoom(long nowMs)
    {
        if (!storage.CanSpare(storage.SegmentSizeBytes))
        {
            Fail("the disk has no room for another segment", nowMs);
        }
    }

    // Nothing that is asked for again could change it.
    private void GiveUpForGood()
    {
        Problem = $"it lacks more than {_folder.WholeCount} sealed segments, which is more than a start can install: a vault of so many needs larger ones (segment-size)";
        _listed.Clear();
        IsHopeless = true;
        (IsOrdered, _isOpen) = (false, false);
        _folder.Close();
    }

    private void Fail(string why, long nowMs)
    {
        Problem = why;
        _listed.Clear();
        _source++;
        _notBefore = nowMs + Math.Min(LongestPauseMs, FirstPauseMs << Math.Min(_failures, 20));
        if (++_failures >= MostFailures)
        {
            GiveUp();
        }
    }

    private void GiveUp()
    {
        _folder.Close();
        if (_repair is not null)
        {
            _folder.Clear(); // It is no beginning of anything else.
        }

        (IsOrdered, _isOpen, _repair) = (false, false, null);
    }
}
