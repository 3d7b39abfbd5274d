using System.Collections.Concurrent;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>How much may wait to be sequenced. More is refused.</summary>
/// <param name="QueuedAppends">Appends.</param>
/// <param name="QueuedBytes">Bytes of their requests.</param>
internal sealed record AppendLimits(int QueuedAppends = 65_536, long QueuedBytes = 256L * 1024 * 1024);

/// <summary>A group on its way to the disk, and the appends that are answered once it is durable.</summary>
internal sealed class InFlightGroup : IThreadPoolWorkItem
{
    private readonly List<QueuedAppend> _answers = [];
    private InFlightPool? _pool;

    /// <summary>The group's bytes; empty if only answers travel.</summary>
    public GroupBuffer Buffer { get; } = new();

    public void Add(QueuedAppend append) => _answers.Add(append);

    /// <summary>Takes the answers of a group without bytes.</summary>
    public void TakeOver(InFlightGroup other)
    {
        _answers.AddRange(other._answers);
        other._answers.Clear();
    }

    /// <summary>Completes all answers with one item of the thread pool, off the sequencer's thread.</summary>
    public void CompleteAll(InFlightPool pool)
    {
        _pool = pool;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>The disk failed: nobody can say what is on it.</summary>
    public void Fail()
    {
        foreach (var append in _answers)
        {
            append.Outcome = AppendOutcome.Unknown;
            append.OnRefused();
        }

        // Not used again: it may still hold a prepared segment.
        _pool = null;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute()
    {
        foreach (var append in _answers)
        {
            append.Complete();
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
    /// <summary>Each holds up to 2 MiB; more than a few are never alive but for bursts of slow completions.</summary>
    private const int Most = 8;

    private readonly ConcurrentQueue<InFlightGroup> _free = new();

    public InFlightGroup Rent() => _free.TryDequeue(out var group) ? group : new InFlightGroup();

    public void Return(InFlightGroup group)
    {
        if (_free.Count < Most)
        {
            group.Buffer.Clear();
            _free.Enqueue(group);
        }
    }
}
