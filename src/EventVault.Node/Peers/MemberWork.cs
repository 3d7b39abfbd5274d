// The node's unhurried work with its members: asks how they stand, and knows by that whether it was removed and whether its clock is right. One whose
// disk has begun anew asks for its old place (Readmission). While it leads it makes voters of learners that have caught up, and hands leadership over where another node would lead better: its
// disk is full or slow, its clock is off.
using EventVault.Node.Replication;
using EventVault.Rpc;
using EventVault.Storage;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Peers;

/// <summary>Looks after the vault's members. One task runs it.</summary>
internal sealed class MemberWork(
    VaultStorage storage, VaultLoop loop, Replica replica, VaultThread thread, NodePeers peers, ClusterView view, MemberChanges changes, Readmission readmission, NodeOptions options, ILogger log,
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
    private string _slow = string.Empty; // What was slow, until the next.
    private long _slowUntil;
    private TimeSpan _clockOff;
    private string _waitsFor = string.Empty; // As it was logged.
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
                await ReadmitAsync();
                LookAtClock();
                view.LeadsBadly = LeadsBadly();
                view.Problem = _isRemoved ? "it was removed from the vault: stop it, or add it again" : _waitsFor.Length > 0 ? _waitsFor : view.LeadsBadly;
                await HandOverAsync();
                await changes.FollowAddressesAsync(member => LogMessages.Moved(log, member.Id, member.Address), _stopping.Token);
            }

            await changes.PromoteAsync(node => LogMessages.Promotes(log, node), _stopping.Token);
        }
        catch (RpcException)
        {
            // Another change is under way, or leadership was lost: what is to be done stands in the membership.
        }
    }

    // The others stopped sending before it could be told: the entry that removes a node never goes to that. Whose disk has begun anew is not
    // removed as long as its old one is a member.
    private void LookWhetherRemoved()
    {
        var standing = loop.Standing;
        var (newest, index) = (standing.Membership, standing.MembershipIndex.Value);
        var isCommitted = index <= storage.CommitIndex.Value;
        foreach (var status in view.Last.Values)
        {
            if (status.MembershipIndex > index && status.Node.CommitIndex >= status.MembershipIndex && Membership.Decode(status.Membership.Span) is { } theirs)
            {
                (newest, index, isCommitted) = (theirs, status.MembershipIndex, true);
            }
        }

        var waits = Readmission.IsAnother(standing.Membership, peers.Self) && Readmission.IsAnother(newest, peers.Self);
        var isRemoved = standing.Membership.Members.Count > 0 && isCommitted && newest.RoleOf(peers.Self) == 0 && !waits;
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
    }

    private async Task ReadmitAsync()
    {
        if (!_isRemoved)
        {
            await readmission.AskAsync(_stopping.Token);
        }

        var waitsFor = _isRemoved ? string.Empty : readmission.Problem;
        if (waitsFor != _waitsFor && waitsFor.Length > 0)
        {
            LogMessages.WaitsForPlace(log, waitsFor);
        }

        _waitsFor = waitsFor;
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
        _clockOff = offset;
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

    // Why another node should lead rather than this one; empty: no reason. The others are told, so that nobody hands over to it.
    private string LeadsBadly()
    {
        var now = VaultLoop.NowMs(TimeProvider.System);
        var slowest = thread.TakeLongestWrite();
        if (slowest > options.ElectionTimeout / 2)
        {
            (_slow, _slowUntil) = ($"writing took {slowest.TotalSeconds:F1} s here", now + (long)HandOverAgain.TotalMilliseconds);
        }

        return replica.HoldsBack ? $"this node's clock differs by {_clockOff.TotalSeconds:F0} s from most of the others'"
            : storage.DiskIsFull ? "this node's disk is full"
            : replica.CannotSend ? "this node can't read what a follower needs: its log is damaged there"
            : now < _slowUntil ? _slow
            : string.Empty;
    }

    private async Task HandOverAsync()
    {
        var now = VaultLoop.NowMs(TimeProvider.System);
        if (view.LeadsBadly is not { Length: > 0 } why || !loop.Standing.TakesProposals || (_handedOver != 0 && now - _handedOver < HandOverAgain.TotalMilliseconds))
        {
            return;
        }

        _handedOver = now;
        var isWell = view.Last.Where(status => status.Value.Node.State == NodeHealth.Serving && status.Value.LeadsBadly.Length == 0).Select(status => status.Key).ToHashSet();
        await changes.HandOverAsync(isWell.Contains, to => LogMessages.HandsOver(log, to, why), _stopping.Token);
    }
}
