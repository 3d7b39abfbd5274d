// Runs the SegmentReceiver: carries its requests over the peer network. One task, which sleeps while nothing is to be pulled.
using EventVault.Storage.Shipping;

namespace EventVault.Node.Peers.Shipping;

/// <summary>Asks a node, as <see cref="IPeerNetwork.AskAsync"/> does.</summary>
internal delegate Task<byte[]> AskPeer(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation);

/// <summary>Pulls segments from other nodes when a leader says so.</summary>
internal sealed class ShipTask : IAsyncDisposable
{
    private readonly SegmentReceiver _receiver;
    private readonly AskPeer _ask;
    private readonly Action<string> _needsReopening;
    private readonly Action<Exception> _failed;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly Task _task;
    private volatile IReadOnlyList<Peer> _sources = [];
    private volatile bool _isBusy;
    private volatile string _hopeless = string.Empty;
    private int _orders;
    private Repair? _repair; // What was asked for, and is not decided.
    private bool _repairs; // Whether the receiver is at it. The task's own.

    /// <param name="receiver">What runs; this task's alone from now on.</param>
    /// <param name="ask">Reaches the others.</param>
    /// <param name="needsReopening">Told once, with the reason, when the next start has something to install.</param>
    /// <param name="failed">Told if the disk failed: the node must stop.</param>
    /// <param name="clock">For pauses.</param>
    public ShipTask(
        SegmentReceiver receiver, AskPeer ask, Action<string> needsReopening, Action<Exception> failed, TimeProvider clock)
    {
        _receiver = receiver;
        _ask = ask;
        _needsReopening = needsReopening;
        _failed = failed;
        _clock = clock;
        _task = Task.Run(RunAsync);
    }

    /// <summary>Whether segments are being pulled because this node is behind, or wait for the next start. For every thread.</summary>
    public bool IsBusy => _isBusy;

    /// <summary>Why segments can never bring what is lacking, for people; empty: they can. For every thread.</summary>
    public string Hopeless => _hopeless;

    /// <summary>Gets a sealed segment in the place of a damaged one. For every thread; one at a time.</summary>
    /// <param name="damaged">What it must be.</param>
    /// <param name="sources">Who may have it, the best ones first; at least one.</param>
    /// <returns>Null: it is here, the next start puts it in its place. Otherwise why not.</returns>
    public Task<string?> RepairAsync(in ShippedSegment damaged, IReadOnlyList<Peer> sources)
    {
        Invariant.Check(sources.Count > 0);
        var repair = new Repair(damaged, sources, new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously));
        if (Interlocked.CompareExchange(ref _repair, repair, null) is not null)
        {
            return Task.FromResult<string?>("another segment is being repaired");
        }

        Wake();
        return repair.Done.Task;
    }

    /// <summary>A leader says that this node is too far behind for groups alone. For every thread; again while it is at it changes nothing.</summary>
    /// <param name="sources">Who may have segments, the best ones first: other nodes before the leader.</param>
    public void Order(IReadOnlyList<Peer> sources)
    {
        _sources = sources;
        Interlocked.Increment(ref _orders);
        Wake();
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _task.ConfigureAwait(false);
        _stopping.Dispose();
        _wake.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (!_receiver.WantsReopening)
            {
                if (Interlocked.Exchange(ref _orders, 0) > 0)
                {
                    _receiver.Order();
                }

                BeginRepair();
                await StepAsync().ConfigureAwait(false);
                _isBusy = _receiver is { IsOrdered: true, IsRepairing: false };
                _hopeless = _receiver.IsHopeless ? _receiver.Problem ?? string.Empty : string.Empty;
                if (_repairs && !_receiver.IsOrdered)
                {
                    EndRepair(_receiver.Problem ?? "it was given up");
                }
            }

            _needsReopening(_repairs ? "a sound segment that came from another node is to take a damaged one's place" : "segments that came from other nodes are to be installed");
            if (_repairs)
            {
                EndRepair(null);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            _failed(e);
        }
        finally
        {
            EndRepair("the node stops");
            _receiver.Close();
        }
    }

    // Catching up comes first: what it brings may be the very segment.
    private void BeginRepair()
    {
        if (_repairs || Volatile.Read(ref _repair) is not { } repair)
        {
            return;
        }

        if (_receiver.IsOrdered)
        {
            EndRepair("segments are being got that are lacking here");
            return;
        }

        _receiver.OrderRepair(repair.Damaged);
        (_sources, _repairs) = (repair.Sources, true);
    }

    private void EndRepair(string? why)
    {
        _repairs = false;
        Interlocked.Exchange(ref _repair, null)?.Done.TrySetResult(why);
    }

    private async Task StepAsync()
    {
        var peers = _sources;
        var now = NowMs();
        if (_receiver.Next(now, [.. peers.Select(p => p.Id)]) is not { } ask)
        {
            if (!_receiver.IsOrdered && (_isBusy || _repairs))
            {
                return; // It has just given up: that is to be told.
            }

            // Without anybody to ask it looks again in a second.
            var pause = _receiver.PauseMs(now) is > 0 and var ms ? TimeSpan.FromMilliseconds(ms) : _receiver.IsOrdered ? TimeSpan.FromSeconds(1) : Timeout.InfiniteTimeSpan;
            await _wake.WaitAsync(pause, _stopping.Token).ConfigureAwait(false);
            return;
        }

        try
        {
            var answer = await _ask(new PeerTarget(peers.First(p => p.Id == ask.From).Address, ask.From), ask.Kind, ask.Content, _stopping.Token).ConfigureAwait(false);
            _receiver.Answered(answer, NowMs());
        }
        catch (PeerRequestException e)
        {
            _receiver.Failed(e.Message, NowMs());
        }
        catch (OperationCanceledException) when (!_stopping.IsCancellationRequested)
        {
            _receiver.Failed("it did not answer in time", NowMs());
        }
    }

    private void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            try
            {
                _wake.Release();
            }
            catch (SemaphoreFullException)
            {
                // Another one woke it: once is enough.
            }
        }
    }

    private long NowMs() => VaultLoop.NowMs(_clock);

    private sealed record Repair(ShippedSegment Damaged, IReadOnlyList<Peer> Sources, TaskCompletionSource<string?> Done);
}
