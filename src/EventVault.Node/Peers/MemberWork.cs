// The node's unhurried work with its members: asks how they stand, and knows by that whether it was removed and whether its clock is right. While it
// leads it makes voters of learners that have caught up, and hands leadership over where another node would lead better: its
// disk is full or slow, its clock is off.
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Storage;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Peers;

/// <summary>Looks after the vault's members. One task runs it.</summary>
internal sealed class MemberWork(
    VaultStorage storage, VaultLoop loop, Replica replica, VaultThread thread, NodePeers peers, ClusterView view, MemberChanges changes, NodeOptions options, ILogger log,
    Action<Exception, string> onFailed) : IAsyncDisposable
{
    /// <summary>A clock that differs by more from most others' must not date events: nobody could take that back.</summary>
    private static readonly TimeSpan MostClockOffset = TimeSpan.FromSeconds(60);

    /// <summary>How often to look at learners.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    /// <summary>Looks between two times that all members are asked: a second.</summary>
    private const int AskEvery = 5;

    /// <summary>Between two tries to hand over for the same kind of reason: so that two bad nodes don't play with leadership.</summary>
    private static readonly TimeSpan HandOverAgain = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _stopping = new();
    private Task _running = Task.CompletedTask;
    private long _handedOver; // When it was tried last, as VaultLoop.NowMs; 0: never.
    private bool _isRemoved;

    /// <summary>Whether this node was a member, and others know by the log that it is none any more. For every thread.</summary>
    public bool IsRemoved => Volatile.Read(ref _isRemoved);

    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Ends soon. May be called more than once.</summary>
    public void BeginStop() => _stopping.Cancel();

    public async ValueTask DisposeAsync()
    {
        BeginStop();
        await _running;
        _stopping.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            using var timer = new PeriodicTimer(Interval);
            for (var looks = 0; await timer.WaitForNextTickAsync(_stopping.Token); looks++)
            {
                await LookAsync(asksAll: looks % AskEvery == 0);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            // The boundary of the work: a rule of the program is broken.
            onFailed(e, "members");
        }
    }

    private async Task LookAsync(bool asksAll)
    {
        try
        {
            if (asksAll)
            {
                await view.AskAllAsync(_stopping.Token);
                LookWhetherRemoved();
                LookAtClock();
                await HandOverAsync();
            }

            await changes.PromoteAsync(node => LogMessages.Promotes(log, node), _stopping.Token);
        }
        catch (RpcException)
        {
            // Another change is under way, or leadership was lost: what is to be done stands in the membership.
        }
    }

    // The others stopped sending before it could be told: the entry that removes a node never goes to that.
    private void LookWhetherRemoved()
    {
        var standing = loop.Standing;
        var isMember = standing.Membership.RoleOf(peers.Self) != 0;
        var newer = view.Last.Values.Any(status =>
            status.Node.CommitIndex >= status.MembershipIndex && status.MembershipIndex > standing.MembershipIndex.Value
            && Membership.Decode(status.Membership.Span) is { } theirs && theirs.RoleOf(peers.Self) == 0);
        var isRemoved = standing.Membership.Members.Count > 0 && (newer || (!isMember && standing.MembershipIndex.Value <= storage.CommitIndex.Value));
        if (isRemoved && !_isRemoved)
        {
            LogMessages.Removed(log);
            _ = loop.AskAsync(static replica =>
            {
                replica.GiveUpAll();
                return true;
            });
        }

        Volatile.Write(ref _isRemoved, isRemoved);
        view.Problem = isRemoved ? "it was removed from the vault: stop it, or add it again" : string.Empty;
    }

    // By the median of all clocks, this one's among them: so one that is wild says nothing about the others, and with only two nobody knows
    // whose is wrong. Of an even number the middle one counts that is nearer.
    private void LookAtClock()
    {
        var offsets = peers.Links.Where(link => link.Hello is not null && link.SinceHeard <= 2 * options.ElectionTimeout)
            .Select(link => link.ClockAhead).Append(TimeSpan.Zero).Order().ToList();
        if (offsets.Count < 3)
        {
            return; // What was known before holds until more are heard of.
        }

        var (low, high) = (offsets[(offsets.Count - 1) / 2], offsets[offsets.Count / 2]);
        var offset = -(low.Duration() < high.Duration() ? low : high);
        var isOff = offset.Duration() > MostClockOffset;
        if (isOff && !replica.HoldsBack)
        {
            LogMessages.ClockDiffers(log, offset);
        }
        else if (!isOff && replica.HoldsBack)
        {
            LogMessages.ClockAgrees(log);
        }

        replica.HoldsBack = isOff;
    }

    private async Task HandOverAsync()
    {
        var slowest = thread.TakeLongestWrite();
        var why = replica.HoldsBack ? "this node's clock is off"
            : storage.DiskIsFull ? "this node's disk is full"
            : slowest > options.ElectionTimeout / 2 ? $"writing took {slowest.TotalSeconds:F1} s here"
            : null;
        var now = VaultLoop.NowMs(TimeProvider.System);
        if (why is null || !loop.Standing.TakesProposals || (_handedOver != 0 && now - _handedOver < HandOverAgain.TotalMilliseconds))
        {
            return;
        }

        _handedOver = now;
        var isWell = view.Last.Where(status => status.Value.Node.State == NodeHealth.Serving).Select(status => status.Key).ToHashSet();
        await changes.HandOverAsync(isWell.Contains, to => LogMessages.HandsOver(log, to, why), _stopping.Token);
    }
}
