// Starts a scavenge by itself: whoever set a retention rule expects the space back, and a disk that fills up at night while
// a command is waited for helps nobody. Only on the leader, when a day (a setting) has passed since the last was started,
// and only if it is worth it. Whoever stops one has a reason: then none starts by itself until one was started by hand.
using System.Runtime.ExceptionServices;
using EventVault.Node.Services;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Node;

/// <summary>Looks from time to time whether a scavenge is worth it, and starts it. One thread steps it.</summary>
internal sealed class ScavengeStarter(VaultStorage storage, VaultLoop loop, SingleAppends appends, NodeOptions options, ILogger log) : IDisposable
{
    /// <summary>Worth it is one that frees at least one byte in so many of the log: written anew for less, a disk only wears.</summary>
    private const int WorthOneIn = 20;

    /// <summary>Segments looked at in a step.</summary>
    private const int SegmentsAtOnce = 16;

    /// <summary>The first look after a start of the node, which has other work then.</summary>
    private static readonly TimeSpan FirstLook = TimeSpan.FromMinutes(10);

    private readonly TimeSpan _interval = options.ScavengeInterval;
    private readonly CancellationTokenSource _stopping = new();
    private long _nextLook = (options.Clock.GetUtcNow() + (options.ScavengeInterval < FirstLook ? options.ScavengeInterval : FirstLook)).UtcTicks;
    private uint? _nextSegment;
    private long _removable;
    private long _bytes;
    private volatile ScavengeBasis? _basis; // Of the last look; null: there was none, or nothing came of it.
    private Task _starting = Task.CompletedTask;
    private long _looks;
    private long _explained;
    private volatile string? _problem;

    /// <summary>How often it has looked whether one is worth it; for tests. For every thread.</summary>
    public long Looks => Volatile.Read(ref _looks);

    /// <summary>How many segments it has looked at for that; for tests. For every thread.</summary>
    public long Explained => Volatile.Read(ref _explained);

    /// <summary>Why it knows not whether one is worth it, in a sentence; null: it knows. For every thread.</summary>
    public string? Problem => _problem;

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
                || ((progress.State == ScavengeState.Done || progress.IsStoppedByHold) && now - DateTimeOffset.UnixEpoch - TimeSpan.FromTicks(progress.StartedAt) >= _interval);
        }
    }

    /// <summary>A bounded piece of work.</summary>
    /// <returns>False: there is nothing to do now.</returns>
    public bool Step()
    {
        if (_starting.Exception?.InnerException is { } broken)
        {
            ExceptionDispatchInfo.Throw(broken); // A rule of the program is: the thread's boundary tells of it.
        }

        if (_nextSegment is null && !(IsDue && _starting.IsCompleted))
        {
            return false;
        }

        if (_nextSegment is null)
        {
            // What one would find is known if nothing has changed, and looking takes each index of the vault into memory.
            var basis = storage.Scavenger.Basis;
            if (basis is null || basis == _basis)
            {
                EndLook();
                return false;
            }

            (_removable, _bytes, _basis, _problem) = (0, 0, basis, null);
        }

        try
        {
            foreach (var segment in storage.Scavenger.Explain(_nextSegment ?? 0, SegmentsAtOnce, _stopping.Token, out _nextSegment))
            {
                _bytes += segment.Bytes;
                _removable += segment.Rewrites ? segment.RemovableBytes : 0;
                Volatile.Write(ref _explained, _explained + 1);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            return false;
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // Old events are damaged; the others are served on.
            MetDamage(e);
            (_nextSegment, _removable) = (null, 0);
        }

        if (_nextSegment is null)
        {
            if (_removable > 0 && _removable >= _bytes / WorthOneIn)
            {
                _starting = StartAsync();
            }

            EndLook();
        }

        return true;
    }

    /// <summary>Ends a look that is under way. For every thread.</summary>
    public void BeginStop() => _stopping.Cancel();

    /// <summary>Ends when what it has begun is decided. <see cref="Step"/> is not called any more.</summary>
    public async Task StopAsync() =>
        await _starting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // Who steps has told of it, or the node ends anyway.

    /// <summary>Behind <see cref="StopAsync"/>.</summary>
    public void Dispose() => _stopping.Dispose();

    private void EndLook()
    {
        Volatile.Write(ref _nextLook, (options.Clock.GetUtcNow() + _interval).UtcTicks);
        Volatile.Write(ref _looks, _looks + 1);
    }

    private void MetDamage(Exception damage)
    {
        LogMessages.ScavengeLookDamaged(log, damage);
        _basis = null;
        _problem = $"whether one is worth it is not known: {damage.Message}";
    }

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
            _basis = null;
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // Whether its operation id is known could not be looked up.
            MetDamage(e);
        }
    }
}
