// Looks for damage in sealed segments, and has damaged ones replaced by other nodes'. Two things start a look: somebody who reads meets damage, and a
// pass over all segments, every so often. Where a pass stands is not kept over a restart: a pass begins some time after each start, at any
// segment, so that a node that is restarted often gets to all of them in time.
//
// Runs on the thread that scavenges, between its steps, at its pace.
using EventVault.Node.Peers.Shipping;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>Checks sealed segments and sees to their repair. The scavenging thread's.</summary>
/// <param name="segments">Checks them.</param>
/// <param name="shipping">Gets them from other nodes.</param>
/// <param name="options">How often, and what was repaired before.</param>
/// <param name="log">Told of damage.</param>
internal sealed class Scrub(SegmentScrub segments, NodeShipping shipping, NodeOptions options, ILogger log)
{
    /// <summary>From the start to the first pass, unless the interval is shorter: what comes behind a start is work enough.</summary>
    private static readonly TimeSpan FirstPass = TimeSpan.FromHours(1);

    /// <summary>Before a repair that failed is tried again: the node that has the segment may be back.</summary>
    private static readonly TimeSpan TryAgain = TimeSpan.FromMinutes(10);

    /// <summary>Segments that a problem names; more are counted.</summary>
    private const int MostNamed = 3;

    private readonly SortedDictionary<uint, Found> _damaged = [];
    private IReadOnlyList<string> _differences = [];
    private Task<IReadOnlyList<string>>? _comparing;
    private Task<string?>? _repair;
    private uint _repairing;
    private long _nextPass = VaultLoop.NowMs(options.Clock) + (long)(options.ScrubInterval < FirstPass ? options.ScrubInterval : FirstPass).TotalMilliseconds;
    private int _left; // Segments that the pass has not checked; 0: none is under way.
    private uint _next;
    private long _checked;
    private int _damagedCount;
    private volatile string _problem = string.Empty;

    /// <summary>What is damaged here, for people; empty: nothing, as far as is known. For every thread.</summary>
    public string Problem => _problem;

    /// <summary>Segments that were checked. For every thread.</summary>
    public long Checked => Volatile.Read(ref _checked);

    /// <summary>Segments that are known to be damaged. For every thread.</summary>
    public int Damaged => Volatile.Read(ref _damagedCount);

    /// <summary>Passes that have ended. For every thread.</summary>
    public long Passes { get; private set; }

    /// <summary>Sees to what is known to be damaged, and looks at a segment in which a reader met damage.</summary>
    /// <param name="pace">Told of bytes that were read; rests, or ends the look.</param>
    /// <returns>Whether a segment was checked.</returns>
    public bool Hurry(Action<int> pace)
    {
        LookAfterRepair();
        if (segments.NextSuspect() is not { } suspect)
        {
            return false;
        }

        if (Check(suspect, pace) && !_damaged.ContainsKey(suspect))
        {
            ShipLogMessages.SoundOnDisk(log, suspect);
        }

        return true;
    }

    /// <summary>Checks the next segment of the pass, if one is due.</summary>
    /// <param name="pace">Told of bytes that were read; rests, or ends the look.</param>
    /// <returns>Whether a segment was checked.</returns>
    public bool Step(Action<int> pace)
    {
        if (_left == 0 && !BeginPass())
        {
            return false;
        }

        _next = _next < segments.Count ? _next : 0;
        if (!Check(_next, pace))
        {
            return false;
        }

        _next++;
        if (--_left == 0)
        {
            Passes++;
            ShipLogMessages.Scrubbed(log, segments.Count, _damaged.Count);
            TakeComparison();
            _comparing ??= shipping.CompareAsync(); // One that is still under way goes on: what it finds is not to be lost.
        }

        return true;
    }

    private bool BeginPass()
    {
        var now = VaultLoop.NowMs(options.Clock);
        if (options.ScrubInterval == TimeSpan.Zero || now < _nextPass)
        {
            return false;
        }

        _nextPass = now + (long)options.ScrubInterval.TotalMilliseconds;
        _left = segments.Count;
        _next = (uint)Random.Shared.Next(Math.Max(1, _left));
        return _left > 0;
    }

    // False: the node stops.
    private bool Check(uint segment, Action<int> pace)
    {
        if (_damaged.ContainsKey(segment))
        {
            return true;
        }

        try
        {
            var found = segments.Check(segment, pace);
            Volatile.Write(ref _checked, _checked + 1);
            if (found is { } damage)
            {
                ShipLogMessages.Damaged(log, segment, damage);
                _damaged.Add(segment, new Found());
                Tell();
            }

            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private void TakeComparison()
    {
        if (_comparing is not { IsCompleted: true } compared)
        {
            return;
        }

        _comparing = null;
        if (compared.IsCompletedSuccessfully)
        {
            TakeDifferences(compared.Result);
        }
        else
        {
            ShipLogMessages.NotCompared(log, WhyNot(compared)); // The next pass compares again.
        }
    }

    private void LookAfterRepair()
    {
        TakeComparison();
        if (_repair is { IsCompleted: true } repair)
        {
            if ((repair.IsCompletedSuccessfully ? repair.Result : WhyNot(repair)) is not { } why)
            {
                return; // The node is being opened anew.
            }

            options.Repairs.Failed(_repairing);
            _repair = null;
            GiveUp(_repairing, why, TryAgain);
        }

        if (_repair is null && _damaged.Count > 0)
        {
            BeginRepair();
        }
    }

    private static string WhyNot(Task failed) => failed.Exception?.InnerException?.Message.TrimEnd('.') ?? "it was cancelled";

    private void TakeDifferences(IReadOnlyList<string> differences)
    {
        foreach (var difference in differences.Except(_differences))
        {
            ShipLogMessages.Differs(log, difference);
        }

        _differences = differences;
        Tell();
    }

    private void BeginRepair()
    {
        var now = VaultLoop.NowMs(options.Clock);
        foreach (var (segment, found) in _damaged)
        {
            if (found.NotBefore > now)
            {
                continue;
            }

            if (options.Repairs.WasReplaced(segment, now))
            {
                GiveUp(segment, "it was replaced not long ago, and is damaged again: the disk fails", RepairHistory.SameAgain);
                return;
            }

            if (options.Repairs.MustWait(now))
            {
                return;
            }

            options.Repairs.Begin(segment, now);
            (_repairing, _repair) = (segment, shipping.RepairAsync(segments.Describe(segment)));
            return;
        }
    }

    private void GiveUp(uint segment, string why, TimeSpan pause)
    {
        var found = _damaged[segment];
        if (found.Why != why)
        {
            ShipLogMessages.StaysDamaged(log, segment, why);
        }

        (found.Why, found.NotBefore) = (why, VaultLoop.NowMs(options.Clock) + (long)pause.TotalMilliseconds);
        Tell();
    }

    private void Tell()
    {
        Volatile.Write(ref _damagedCount, _damaged.Count);
        var all = _damaged.Select(d => d.Value.Why is { } why ? $"segment {d.Key} is damaged, and stays so: {why}" : $"segment {d.Key} is damaged: another node's is to take its place")
            .Concat(_differences).ToList();
        _problem = string.Join("; ", all.Take(MostNamed)) + (all.Count > MostNamed ? $"; and {all.Count - MostNamed} more" : string.Empty);
    }

    private sealed class Found
    {
        /// <summary>Why the last repair failed; null: none did.</summary>
        public string? Why { get; set; }

        /// <summary>No repair before, as <see cref="VaultLoop.NowMs"/>.</summary>
        public long NotBefore { get; set; }
    }
}
