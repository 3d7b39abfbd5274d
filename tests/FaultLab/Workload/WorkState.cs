using EventVault.FaultLab.Checks;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;

namespace EventVault.FaultLab.Workload;

/// <summary>What the clients of a run share.</summary>
internal sealed class WorkState(LabCluster cluster, HistoryFile history, int seed, WorkOptions options)
{
    private readonly Lock _lock = new();
    private readonly List<string> _streams = [];
    private readonly HashSet<string> _isListed = new(StringComparer.Ordinal);
    private readonly List<(long Completed, long Duration)> _latencies = [];
    private readonly List<(long Since, TaskCompletionSource<long> Found)> _waiters = [];
    private long _seen = -1;
    private int _written;
    private int _unknown;
    private int _refused;
    private int _conflicts;
    private int _abandoned;
    private int _races;

    public LabCluster Cluster { get; } = cluster;

    /// <summary>What was seen since all was healed; null before.</summary>
    public Coverage? Coverage { get; set; }

    public WorkOptions Options { get; } = options;

    /// <summary>The furthest position that any client was told of; -1: none.</summary>
    public long Seen => Interlocked.Read(ref _seen);

    /// <summary>Appends that were answered as written.</summary>
    public int Written => _written;

    /// <summary>Attempts of unknown outcome.</summary>
    public int Unknown => _unknown;

    /// <summary>Attempts that were refused for the node's reasons.</summary>
    public int Refused => _refused;

    /// <summary>Attempts that were refused for the streams' reasons.</summary>
    public int Conflicts => _conflicts;

    /// <summary>Appends that clients gave up after many attempts.</summary>
    public int Abandoned => _abandoned;

    /// <summary>The next number of what several clients race for: each number is given out to four of them.</summary>
    public int NextRace => Interlocked.Increment(ref _races) / 4;

    /// <summary>A client's own source of chance, the same in every run with this seed.</summary>
    public Random RandomOf(string client) => new(unchecked((seed * 7919) + StableHash(client)));

    /// <summary>A stream that somebody wrote to.</summary>
    public string? AnyStream(Random random)
    {
        lock (_lock)
        {
            return _streams.Count == 0 ? null : _streams[random.Next(_streams.Count)];
        }
    }

    /// <summary>Tells that a client was shown a position.</summary>
    public void Saw(long position)
    {
        var seen = Interlocked.Read(ref _seen);
        while (position > seen)
        {
            var before = Interlocked.CompareExchange(ref _seen, position, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    /// <summary>Counts an append that a client gave up.</summary>
    public void Abandon() => Interlocked.Increment(ref _abandoned);

    /// <summary>Keeps an operation that ended.</summary>
    public async Task AddAsync(Operation operation)
    {
        if (operation is AppendAttempt append)
        {
            Count(append);
        }

        Coverage?.Add(operation);
        await history.AddAsync(operation);
    }

    /// <summary>How long after a moment the first append came back written that was sent after it.</summary>
    public Task<long> FirstWriteAfterAsync(long since)
    {
        var found = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            _waiters.Add((since, found));
        }

        return found.Task;
    }

    /// <summary>The time that 99 of 100 written appends took at most, of those that ended between two moments; null: there were none.</summary>
    public double? P99Milliseconds(long from, long until)
    {
        List<long> durations;
        lock (_lock)
        {
            durations = [.. _latencies.Where(l => l.Completed >= from && l.Completed < until).Select(l => l.Duration).Order()];
        }

        return durations.Count == 0 ? null : durations[(durations.Count - 1) * 99 / 100] * 1000.0 / System.Diagnostics.Stopwatch.Frequency;
    }

    private void Count(AppendAttempt append)
    {
        switch (append.Outcome)
        {
            case AppendOutcome.Written or AppendOutcome.Duplicate:
                Interlocked.Increment(ref _written);
                Saw(append.LastPosition);
                Tell(append);
                break;
            case AppendOutcome.Unknown:
                Interlocked.Increment(ref _unknown);
                break;
            case AppendOutcome.Refused:
                Interlocked.Increment(ref _refused);
                break;
            case AppendOutcome.Conflict:
                Interlocked.Increment(ref _conflicts);
                break;
        }
    }

    private void Tell(AppendAttempt append)
    {
        lock (_lock)
        {
            _streams.AddRange(append.Writes.Select(w => w.Stream).Where(_isListed.Add));
            _latencies.Add((append.Completed, append.Completed - append.Invoked));
            for (var i = _waiters.Count - 1; i >= 0; i--)
            {
                if (append.Outcome == AppendOutcome.Written && append.Invoked >= _waiters[i].Since)
                {
                    _waiters[i].Found.TrySetResult(append.Completed - _waiters[i].Since);
                    _waiters.RemoveAt(i);
                }
            }
        }
    }

    private static int StableHash(string text) => text.Aggregate(17, (hash, c) => unchecked((hash * 31) + c));
}

/// <summary>How much the clients do.</summary>
internal sealed record WorkOptions
{
    public int Writers { get; init; } = 6;

    public int Readers { get; init; } = 3;

    public int Subscribers { get; init; } = 3;

    /// <summary>Clients of the SDK with many appends in flight.</summary>
    public int Sessions { get; init; } = 1;

    /// <summary>Most bytes of text in an event.</summary>
    public int TextBytes { get; init; } = 600;

    /// <summary>Longest pause of a writer between two appends; the scenarios share a machine with other things.</summary>
    public int PauseMilliseconds { get; init; } = 20;
}
