// Starts a scavenge by itself: whoever set a retention rule expects the space back, and a disk that fills up at night while
// a command is waited for helps nobody. Only on the leader, when a day (a setting) has passed since the last was started,
// and only if it is worth it. Whoever stops one has a reason: then none starts by itself until one was started by hand.
using EventVault.Node.Services;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Scavenging;

namespace EventVault.Node;

/// <summary>Looks from time to time whether a scavenge is worth it, and starts it. One thread steps it.</summary>
internal sealed class ScavengeStarter(VaultStorage storage, VaultLoop loop, SingleAppends appends, NodeOptions options, ILogger log)
{
    /// <summary>Worth it is one that frees at least one byte in so many of the log: written anew for less, a disk only wears.</summary>
    private const int WorthOneIn = 20;

    /// <summary>Segments looked at in a step.</summary>
    private const int SegmentsAtOnce = 16;

    /// <summary>The first look after a start of the node, which has other work then.</summary>
    private static readonly TimeSpan FirstLook = TimeSpan.FromMinutes(10);

    private readonly TimeSpan _interval = options.ScavengeInterval;
    private long _nextLook = (options.Clock.GetUtcNow() + (options.ScavengeInterval < FirstLook ? options.ScavengeInterval : FirstLook)).UtcTicks;
    private uint? _nextSegment;
    private long _removable;
    private long _bytes;
    private Task _starting = Task.CompletedTask;
    private long _looks;

    /// <summary>How often it has looked whether one is worth it; for tests. For every thread.</summary>
    public long Looks => Volatile.Read(ref _looks);

    /// <summary>Whether it is time to look. For every thread.</summary>
    public bool IsDue
    {
        get
        {
            var now = options.Clock.GetUtcNow();
            if (_interval == TimeSpan.Zero || now.UtcTicks < Volatile.Read(ref _nextLook) || !loop.Leads)
            {
                return false;
            }

            var progress = storage.Scavenger.Progress;
            return progress.State == ScavengeState.Never
                || (progress.State == ScavengeState.Done && now - DateTimeOffset.UnixEpoch - TimeSpan.FromTicks(progress.StartedAt) >= _interval);
        }
    }

    /// <summary>A bounded piece of work.</summary>
    /// <returns>False: there is nothing to do now.</returns>
    public bool Step()
    {
        if (_nextSegment is null && !(IsDue && _starting.IsCompleted))
        {
            return false;
        }

        var from = _nextSegment ?? 0;
        if (_nextSegment is null)
        {
            (_removable, _bytes) = (0, 0);
        }

        try
        {
            foreach (var segment in storage.Scavenger.Explain(from, SegmentsAtOnce, CancellationToken.None, out _nextSegment))
            {
                _bytes += segment.Bytes;
                _removable += segment.Rewrites ? segment.RemovableBytes : 0;
            }
        }
        catch (DamageException e)
        {
            // Old events are damaged; the others are served on. A scavenge would come no further.
            LogMessages.ScavengeDamaged(log, e);
            (_nextSegment, _removable) = (null, 0);
        }

        if (_nextSegment is null)
        {
            Volatile.Write(ref _nextLook, (options.Clock.GetUtcNow() + _interval).UtcTicks);
            if (_removable > 0 && _removable >= _bytes / WorthOneIn)
            {
                _starting = StartAsync();
            }

            Volatile.Write(ref _looks, _looks + 1);
        }

        return true;
    }

    /// <summary>Ends when what it has begun is decided. <see cref="Step"/> is not called any more.</summary>
    public Task StopAsync() => _starting;

    private async Task StartAsync()
    {
        LogMessages.ScavengeStarts(log, _removable, _bytes);
        var append = new SingleAppend(storage);
        append.Content.Reset([]);
        append.Content.OperationId = new UInt128((ulong)Random.Shared.NextInt64(), (ulong)Random.Shared.NextInt64());
        append.Content.SetScavenge(ScavengeChange.Start);
        try
        {
            await appends.RecordAsync(append);
        }
        catch (RpcException e)
        {
            // The node drains, its disk is full, or it leads no more: the next look comes.
            LogMessages.ScavengeNotStarted(log, e.Status.Message);
        }
    }
}
