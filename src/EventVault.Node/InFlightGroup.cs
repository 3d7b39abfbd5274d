using EventVault.Node.Replication;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>
/// How much may wait to be sequenced, of all clients together; of one no more than it leaves for the others. More is refused.
/// </summary>
/// <param name="QueuedAppends">Appends.</param>
/// <param name="QueuedBytes">Bytes of their requests.</param>
internal sealed record AppendLimits(int QueuedAppends = 65_536, long QueuedBytes = 256L * 1024 * 1024);

/// <summary>
/// A group on its way to the disk and to the majority, and the appends that are answered once it is committed. Or a
/// truncation on its way to the disk, or answers alone.
/// </summary>
internal sealed class InFlightGroup : IThreadPoolWorkItem
{
    private List<QueuedAppend> _answers = [];
    private InFlightPool? _pool;

    /// <summary>The group's bytes; empty if only answers travel.</summary>
    public GroupBuffer Buffer { get; } = new();

    /// <summary>Not null: not a group, but what the writer is to cut off the log.</summary>
    public TruncateOrder? Truncation { get; set; }

    /// <summary>The writer has it; until it gives it back the buffer is not used again.</summary>
    public bool IsWriting { get; set; }

    /// <summary>It was cut off the log while the writer had it.</summary>
    public bool IsTruncated { get; set; }

    /// <summary>Of answers without a buffer: where their group stood.</summary>
    public LogIndex Index { get; init; }

    /// <summary>Of answers without a buffer: the term of their group.</summary>
    public Term Term { get; init; }

    public bool HasAnswers => _answers.Count > 0;

    public void Add(QueuedAppend append) => _answers.Add(append);

    /// <summary>Takes the answers of a group.</summary>
    public void TakeOver(InFlightGroup other)
    {
        if (_answers.Count == 0)
        {
            (_answers, other._answers) = (other._answers, _answers);
            return;
        }

        _answers.AddRange(other._answers);
        other._answers.Clear();
    }

    /// <summary>Takes the answers whose callers have given up waiting.</summary>
    public void TakeLate(InFlightGroup other, long nowMs)
    {
        for (var i = 0; i < other._answers.Count; i++)
        {
            if (other._answers[i].Deadline <= nowMs)
            {
                _answers.Add(other._answers[i]);
                other._answers[i] = null!;
            }
        }

        other._answers.RemoveAll(static append => append is null);
    }

    /// <summary>Nothing came of it; sessions refuse what follows.</summary>
    /// <param name="appended">Outcome of appends that stand in the group.</param>
    /// <param name="others">
    /// Outcome of conflicts and the like, which were written nowhere. A retry whose first attempt stood here has an unknown one.
    /// </param>
    public void Refuse(AppendOutcome appended, AppendOutcome others)
    {
        foreach (var append in _answers)
        {
            append.Outcome = append.Outcome switch
            {
                AppendOutcome.Appended => appended,
                AppendOutcome.Known => AppendOutcome.Unknown,
                _ => others,
            };
            append.OnRefused();
        }
    }

    /// <summary>Completes all answers with one item, outside of the sequencer's step; then it may be used again.</summary>
    public void CompleteAll(ICompletions completions, InFlightPool? pool)
    {
        _pool = pool;
        completions.Queue(this);
    }

    void IThreadPoolWorkItem.Execute()
    {
        for (var i = 0; i < _answers.Count; i++)
        {
            _answers[i].CompletedBefore = i;
            _answers[i].Complete();
        }

        foreach (var append in _answers)
        {
            append.Announce();
        }

        _answers.Clear();
        _pool?.Return(this);
    }
}

/// <summary>Groups to use again: filled by the thread pool, emptied by the sequencer.</summary>
internal sealed class InFlightPool
{
    /// <summary>
    /// Of their buffers. A node alone has about four groups alive, dozens of small ones while threads that complete them have to wait for a
    /// processor; what slow followers add is not kept.
    /// </summary>
    private const long MostBytes = 16L * 1024 * 1024;

    /// <summary>Groups; each has lists of its own, too, that hold as many appends as the largest group had.</summary>
    private const int Most = 64;

    // The last one first: its bytes may still be in the caches.
    private readonly Stack<InFlightGroup> _free = new();
    private readonly Lock _lock = new();
    private long _bytes;

    public InFlightGroup Rent()
    {
        lock (_lock)
        {
            if (_free.TryPop(out var group))
            {
                _bytes -= group.Buffer.Capacity;
                return group;
            }
        }

        return new InFlightGroup();
    }

    public void Return(InFlightGroup group)
    {
        Invariant.Check(!group.IsWriting && !group.HasAnswers);
        group.Buffer.Clear();
        group.Truncation = null;
        group.IsTruncated = false;
        lock (_lock)
        {
            if (_bytes + group.Buffer.Capacity <= MostBytes && _free.Count < Most)
            {
                _bytes += group.Buffer.Capacity;
                _free.Push(group);
            }
        }
    }
}
