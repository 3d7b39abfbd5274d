using System.Diagnostics;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// Which nodes the vault has, as far as this client knows, which of them probably leads, and where the next attempt of a call goes.
/// All of it is a guess: a node that is asked in vain says so, and the guess gets better. Thread-safe; nothing here waits for a node
/// but its own loop, which asks for the members (<c>GetCluster</c>) at the first use, after failures and every minute.
/// </summary>
/// <remarks>
/// The rule for the next leader to try: whom the refusing node names, unless that one has failed as well since the last success and the step
/// before followed a name, too; then the node whose failure is longest ago. So two nodes that name each other don't keep a client from the third.
/// </remarks>
internal sealed class NodeRoster : IAsyncDisposable
{
    /// <summary>An answer is missed after this: somebody else is asked whether the node is still there. Long for a node, short for a fail-over.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    // Looks by the leader in a row before a node is taken for gone, or for well again. One may have been lost on a busy machine; and a node that is
    // well for all but this client must not be tried in vain with every look.
    private const int EnoughLooks = 2;

    // A vault has a handful of nodes. Names that refusals brought and nobody confirmed must not add up.
    private const int MostNodes = 64;

    // A follower this far behind is not chosen for reads, which would wait there: about a second of a busy vault's groups.
    private const ulong MostLagGroups = 1000;

    private static readonly TimeSpan RefreshEvery = TimeSpan.FromMinutes(1);

    // A node that is asked for the members asks all of them: once a second and client at the most, also while all of them fail.
    private static readonly TimeSpan RefreshPause = TimeSpan.FromSeconds(1);

    // It waits for half a second for other nodes; the rest is for a busy machine.
    private static readonly TimeSpan AskTimeout = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly VaultClientOptions _options;
    private readonly VaultCredentials? _credentials;
    private readonly string _scheme;
    private readonly List<VaultNode> _nodes;
    private readonly List<VaultNode> _dropped = [];
    private readonly Dictionary<Uri, VaultNode> _otherNames = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _wanted = new(0);
    private Task? _loop;
    private int _isWanted;
    private VaultNode _leader;
    private VaultNode? _reader;
    private VaultNode? _suspect;
    private ByteString? _vaultId;
    private ulong _term;
    private long _failures;
    private bool _followedName;
    private volatile bool _isSure; // The leader has said that it leads, or did what only a leader does, or another node named it behind that guess.
    private volatile bool _hasFailed;
    private volatile bool _failsReads;
    private volatile int _count;

    /// <summary>Begins with the nodes that the user named; the first one is the first to be tried.</summary>
    public NodeRoster(IReadOnlyList<Uri> addresses, VaultClientOptions options, VaultCredentials? credentials)
    {
        _options = options;
        _credentials = credentials;
        _scheme = addresses[0].Scheme;
        _nodes = [.. addresses.Select(address => new VaultNode(address, isGiven: true, options, credentials))];
        First = _leader = _nodes[0];
        _count = _nodes.Count;
    }

    /// <summary>How many nodes there are to try.</summary>
    public int Count => _count;

    /// <summary>The node that the user named first.</summary>
    public VaultNode First { get; }

    /// <summary>The node that probably leads.</summary>
    public VaultNode Leader
    {
        get
        {
            if (_loop is null)
            {
                Begin();
            }

            return Volatile.Read(ref _leader);
        }
    }

    /// <summary>Where a request goes.</summary>
    /// <param name="request">The request.</param>
    public VaultNode For(IMessage request) =>
        ReadPlaces.IsForFirst(request) ? First
        : _options.ReadFrom == ReadFrom.Leader || _count == 1 || !ReadPlaces.IsForAnyNode(request) ? Leader : Reader();

    /// <summary>Whether another node than this one is taken for the leader by now.</summary>
    /// <param name="node">The node.</param>
    public bool LeadsElsewhere(VaultNode node) => Volatile.Read(ref _leader) != node;

    /// <summary>Whether a node is more than guessed to lead. Without others there is nobody who knows better.</summary>
    /// <param name="node">The node.</param>
    public bool IsSureToLead(VaultNode node) => _count == 1 || (_isSure && Volatile.Read(ref _leader) == node);

    /// <summary>A node to ask in place of some, the leader first; null: there is none.</summary>
    /// <param name="refusing">Those that need not be asked again.</param>
    public VaultNode? Other(List<VaultNode> refusing)
    {
        lock (_lock)
        {
            return refusing.Contains(_leader) ? _nodes.Except(refusing).Where(static n => n.Standing != NodeStanding.Outsider).MinBy(static n => n.FailedAt) : _leader;
        }
    }

    /// <summary>
    /// An attempt failed. If that has to do with the node, the next one goes to another.
    /// </summary>
    /// <param name="node">Where.</param>
    /// <param name="failure">With what.</param>
    /// <returns>Whether there is a node that was not tried since the last success, so that waiting makes no sense yet.</returns>
    public bool Failed(VaultNode node, VaultException failure)
    {
        if (failure.Code == VaultErrorCode.TimedOut)
        {
            Suspect(node);
            node.IsGreeted &= _count > 1; // Others are asked about it there.
        }

        if (failure.Code is not (VaultErrorCode.NotLeader or VaultErrorCode.NoQuorum or VaultErrorCode.NotJoined or VaultErrorCode.Opening or VaultErrorCode.Draining
            or VaultErrorCode.Unreachable or VaultErrorCode.TimedOutBehind))
        {
            return false;
        }

        lock (_lock)
        {
            node.FailedAt = ++_failures;
            node.Looks = 0;
            node.IsGreeted &= failure.Code is VaultErrorCode.NotLeader or VaultErrorCode.NoQuorum or VaultErrorCode.TimedOutBehind; // Or it was away, and who comes back may be somebody else.
            _hasFailed = true;
            if (failure.Code != VaultErrorCode.NotLeader)
            {
                node.FailsReads = true;
                _failsReads = true;
                _reader = _reader == node ? null : _reader;
            }

            VaultNode? named = failure.Code == VaultErrorCode.NotLeader && failure.LeaderAddress is { } address ? Find(address) : null;
            if (_leader == node)
            {
                Move(named == node ? null : named);
            }
            else if (_leader == named)
            {
                _isSure = true;
            }
        }

        WantRefresh();
        lock (_lock)
        {
            return _count > 1 && _leader.FailedAt == 0;
        }
    }

    /// <summary>A node did what only a leader does.</summary>
    /// <param name="node">Which one.</param>
    public void Led(VaultNode node)
    {
        if (!_hasFailed && IsSureToLead(node))
        {
            return;
        }

        lock (_lock)
        {
            (_leader, _isSure) = (node, true);
            _followedName = false;
            _hasFailed = false;
            foreach (VaultNode other in _nodes)
            {
                other.FailedAt = 0;
            }
        }
    }

    /// <summary>A node answered a read: whatever failed there before, reads may go there. Of who leads it says nothing.</summary>
    /// <param name="node">Which one.</param>
    public void Answered(VaultNode node)
    {
        if (!_failsReads)
        {
            return;
        }

        lock (_lock)
        {
            node.FailsReads = false;
            _failsReads = _nodes.Exists(static n => n.FailsReads);
        }
    }

    /// <summary>A node keeps a call waiting: others are asked what became of it.</summary>
    /// <param name="node">Which one.</param>
    public void Suspect(VaultNode node)
    {
        if (_count > 1)
        {
            Volatile.Write(ref _suspect, node);
            WantRefresh();
        }
    }

    /// <summary>
    /// Whether a failure may pass by itself. A full disk may where there are several nodes: a leader hands over to one that has room.
    /// </summary>
    /// <param name="failure">The failure.</param>
    public bool MayPass(VaultException failure) => failure.IsTransient || (failure.Code == VaultErrorCode.StoreFull && _count > 1);

    /// <summary>
    /// Before the first call to a node, and the first since it was away: whether it is of the same vault as the others, and as before. What nodes call
    /// themselves, such as 127.0.0.1, may be another one from here; and a backup that was restored at an address is another vault, in which positions mean something else.
    /// </summary>
    /// <param name="node">The node.</param>
    /// <param name="limit">How long it may take; where there are others to ask, 2 s at the most.</param>
    /// <param name="cancellation">Cancels the asking.</param>
    /// <exception cref="RpcException">It does not answer, or belongs to another vault than other nodes; the call was not sent to it.</exception>
    /// <exception cref="VaultException">Another vault has taken the place of the one that this client knows.</exception>
    public async ValueTask GreetAsync(VaultNode node, TimeSpan limit, CancellationToken cancellation)
    {
        bool knowsVault = Volatile.Read(ref _vaultId) is not null;
        if (node.IsGreeted || (_count == 1 && !knowsVault))
        {
            return; // Or there is nothing to compare it with, as for a program's first call.
        }

        if (!node.IsGiven && !knowsVault)
        {
            // It was named by a node that was never asked itself, and that is the one to be believed.
            await GreetAsync(LastFailedGiven(), limit, cancellation).ConfigureAwait(false);
        }

        try
        {
            var options = new RpcCallOptions(_count == 1 || limit < AskTimeout ? limit : AskTimeout);
            Protocol.GetInfoResponse info = await node.Reads.UnaryAsync(VaultMethods.GetInfo, new Protocol.GetInfoRequest(), options, cancellation).ConfigureAwait(false);
            CheckVault(node, info.VaultId);
        }
        catch (RpcException e) when (e.Trailers.Count > 0 && !(knowsVault && e.Code == RpcCode.Unavailable))
        {
            // It has looked at the call and refused it, as a node without a vault does: it refuses others as well, or is a member by then. Or this question alone has a fault.
        }
        catch (RpcException e) when (e.Trailers.Count > 0)
        {
            throw new RpcException(e.Code, e.Message, e.Trailers, e.InnerException) { NotProcessed = true };
        }
        catch (RpcException e)
        {
            // Whatever is wrong: it can't be asked now, and that is all that is known.
            RpcCode code = e.Code is RpcCode.DeadlineExceeded or RpcCode.Unauthenticated or RpcCode.PermissionDenied ? e.Code : RpcCode.Unavailable;
            string message = $"the call was not sent, as the node could not be asked first which vault it has: {e.Message}";
            throw new RpcException(code, message, inner: e.InnerException) { NotProcessed = true };
        }
        catch (VaultException e) when (e.Code != VaultErrorCode.OtherVault)
        {
            throw new RpcException(RpcCode.Unavailable, e.Message, inner: e) { NotProcessed = true };
        }
    }

    /// <summary>A node has told the program which vault it belongs to: if none was known, that is the one.</summary>
    /// <param name="vaultId">The vault.</param>
    /// <exception cref="VaultException">It is another one than before, at the only node.</exception>
    public void Know(ByteString vaultId)
    {
        if (_count == 1)
        {
            CheckVault(First, vaultId);
            return;
        }

        lock (_lock)
        {
            _vaultId ??= vaultId.IsEmpty ? null : vaultId;
        }
    }

    /// <summary>A node said which vault it belongs to.</summary>
    /// <param name="node">The node.</param>
    /// <param name="vaultId">The vault.</param>
    /// <exception cref="VaultException">It is another vault than that of the other nodes, or than the one that this client knows: nothing may be sent there.</exception>
    public void CheckVault(VaultNode node, ByteString vaultId)
    {
        if (vaultId.IsEmpty)
        {
            return;
        }

        bool isReplaced;
        lock (_lock)
        {
            _vaultId ??= vaultId;
            if (_vaultId.Equals(vaultId))
            {
                (node.IsGreeted, node.IsForeign) = (true, false);
                return;
            }

            (node.Standing, node.IsGreeted, node.IsForeign) = (NodeStanding.Outsider, false, true);
            isReplaced = _nodes.TrueForAll(static n => n.IsForeign);
            if (isReplaced && _count > 1)
            {
                // The call ends here, and the next one asks another node: its own vault may be back there.
                node.FailedAt = ++_failures;
                node.FailsReads = _failsReads = _hasFailed = true;
                _reader = _reader == node ? null : _reader;
                if (_leader == node)
                {
                    Move(named: null);
                }
            }
        }

        WantRefresh();
        node.Lose(); // What got there unseen.
        throw isReplaced
            ? new VaultException(
                VaultErrorCode.OtherVault,
                $"At {node.Address.Host}:{node.Address.Port} there is another vault now than the one that this client began with: a new one, or one restored from a backup. "
                + "Positions and versions of the one mean nothing in the other, so the call was not sent. Make a new client, and begin anew what rests on positions.")
            : new VaultException(
                VaultErrorCode.Unreachable,
                $"The node at {node.Address.Host}:{node.Address.Port} belongs to another vault than the others of this client's address. Take it out of the address; or make a new client, if all of them were replaced by a restored vault.");
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        Task? loop;
        lock (_lock)
        {
            // From here on none begins.
            loop = _loop ??= Task.CompletedTask;
        }

        await loop.ConfigureAwait(false);
        VaultNode[] nodes;
        lock (_lock)
        {
            nodes = [.. _nodes, .. _dropped]; // A call that ends now may still add one.
        }

        foreach (VaultNode node in nodes)
        {
            await node.DisposeAsync().ConfigureAwait(false);
        }

        _wanted.Dispose();
        _stopping.Dispose();
    }

    private VaultNode LastFailedGiven()
    {
        lock (_lock)
        {
            return _nodes.FindAll(static n => n.IsGiven).MaxBy(static n => n.FailedAt)!;
        }
    }

    private VaultNode Reader()
    {
        if (_loop is null)
        {
            Begin();
        }

        lock (_lock)
        {
            // One node for as long as it is well: what it was seen to have it has.
            return _reader ??= Pick(_nodes.FindAll(static n => n is { FailsReads: false, IsGoodForReads: true })) ?? LongestAgo(static _ => true);
        }
    }

    private static VaultNode? Pick(List<VaultNode> nodes) => nodes.Count == 0 ? null : nodes[Random.Shared.Next(nodes.Count)];

    // Under the lock.
    private void Move(VaultNode? named)
    {
        _isSure = false;
        if (named is not null && (named.FailedAt == 0 || !_followedName))
        {
            (_leader, _followedName) = (named, true);
            return;
        }

        (_leader, _followedName) = (LongestAgo(static n => n.Standing is NodeStanding.Voter or NodeStanding.Unknown), false);
    }

    // Under the lock. Whoever was ruled out is tried all the same when everybody else has failed: what was said of it may be old.
    private VaultNode LongestAgo(Func<VaultNode, bool> isLikely)
    {
        VaultNode? best = null;
        foreach (VaultNode node in _nodes)
        {
            if (isLikely(node) && (best is null || node.FailedAt < best.FailedAt))
            {
                best = node;
            }
        }

        return best is { FailedAt: 0 } ? best : _nodes.MinBy(static n => n.FailedAt)!;
    }

    // Under the lock. Null: no address, or there are too many.
    private VaultNode? Find(string hostAndPort)
    {
        if (VaultAddress.TryOne(_scheme, hostAndPort) is not { } address)
        {
            return null;
        }

        if (_otherNames.TryGetValue(address, out VaultNode? known) || (known = _nodes.Find(n => n.Address == address)) is not null)
        {
            return known;
        }

        if (_nodes.Count >= MostNodes)
        {
            return null;
        }

        var node = new VaultNode(address, isGiven: false, _options, _credentials);
        _nodes.Add(node);
        _count = _nodes.Count;
        return node;
    }

    private void Begin()
    {
        lock (_lock)
        {
            _loop ??= Task.Run(RefreshLoopAsync);
        }
    }

    private void WantRefresh()
    {
        if (Interlocked.Exchange(ref _isWanted, 1) == 0 && !_stopping.IsCancellationRequested)
        {
            try
            {
                _wanted.Release();
            }
            catch (ObjectDisposedException)
            {
                // The client was disposed meanwhile.
            }
        }
    }

    private async Task RefreshLoopAsync()
    {
        Activity.Current = null; // Not part of the trace in which the client was used first.
        try
        {
            while (true)
            {
                Volatile.Write(ref _isWanted, 0);
                await RefreshAsync().ConfigureAwait(false);
                await Task.Delay(RefreshPause, _stopping.Token).ConfigureAwait(false);
                await _wanted.WaitAsync(RefreshEvery, _stopping.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The client is being disposed.
        }
    }

    /// <summary>Asks one node after the other until the leader itself has answered, or everybody was asked.</summary>
    private async Task RefreshAsync()
    {
        var asked = new List<VaultNode>();
        while (NextToAsk(asked) is { } node)
        {
            asked.Add(node);
            if (await AskAsync(node).ConfigureAwait(false) is { } answer && Learn(node, answer) && answer.LeaderNodeId == answer.NodeId)
            {
                break;
            }
        }

        Volatile.Write(ref _suspect, null);
        foreach (VaultNode node in Unidentified(asked))
        {
            if (await AskAsync(node).ConfigureAwait(false) is { } answer)
            {
                Learn(node, answer);
            }
        }
    }

    private VaultNode? NextToAsk(List<VaultNode> asked)
    {
        VaultNode? suspect = Volatile.Read(ref _suspect);
        lock (_lock)
        {
            return !asked.Contains(_leader) && _leader != suspect && _leader.FailedAt == 0
                ? _leader
                : _nodes.Except(asked).OrderBy(n => n == suspect).ThenBy(n => n != _leader || asked.Count == 0).ThenBy(static n => n.FailedAt).FirstOrDefault();
        }
    }

    // Given nodes that no answer named: they may be members under another name.
    private List<VaultNode> Unidentified(List<VaultNode> asked)
    {
        lock (_lock)
        {
            return _vaultId is null ? [] : [.. _nodes.Where(n => n.Standing is NodeStanding.Unknown or NodeStanding.Outsider).Except(asked)];
        }
    }

    private async Task<Protocol.GetClusterResponse?> AskAsync(VaultNode node)
    {
        try
        {
            return await node.Reads.UnaryAsync(
                VaultMethods.GetCluster, new Protocol.GetClusterRequest(), new RpcCallOptions(AskTimeout), _stopping.Token).ConfigureAwait(false);
        }
        catch (RpcException)
        {
            // It is away, or older than clusters are: then it is the only one.
            return null;
        }
    }

    // False: nothing was learned of the other nodes.
    private bool Learn(VaultNode asked, Protocol.GetClusterResponse answer)
    {
        var lost = new List<VaultNode>();
        bool isUsable;
        lock (_lock)
        {
            Protocol.ClusterNode? self = answer.Nodes.OrderBy(static n => n.IsReachable).LastOrDefault(n => n.NodeId == answer.NodeId);
            if (answer.VaultId.IsEmpty || self is null || !(_vaultId ??= answer.VaultId).Equals(answer.VaultId))
            {
                // It was removed, or was never one of this vault, or is not any more.
                asked.IsGreeted = false;
                asked.IsForeign = _vaultId is not null && !answer.VaultId.IsEmpty && !_vaultId.Equals(answer.VaultId);
                Drop(asked, lost);
                isUsable = false;
            }
            else
            {
                SetName(asked, self.Address);
                (asked.IsGreeted, asked.IsForeign) = (true, false);
                asked.Standing = StandingOf(self);
                isUsable = answer.Term >= _term;
                if (isUsable)
                {
                    _term = answer.Term;
                    Take(asked, answer, lost);
                }
            }

            _count = _nodes.Count;
        }

        foreach (VaultNode node in lost)
        {
            node.Lose();
        }

        return isUsable;
    }

    // Under the lock. What a node calls itself and how it is reached from here may differ: by proxies, or other names of a machine.
    private void SetName(VaultNode node, string ownAddress)
    {
        if (VaultAddress.TryOne(_scheme, ownAddress) is not { } address || address == node.Address)
        {
            return;
        }

        foreach (Uri former in _otherNames.Where(n => n.Value == node).Select(static n => n.Key).ToList())
        {
            _otherNames.Remove(former);
        }

        _otherNames[address] = node;
        if (_nodes.Find(n => n.Address == address && !n.IsGiven) is { } twin)
        {
            _nodes.Remove(twin);
            _dropped.Add(twin);
            _leader = _leader == twin ? node : _leader;
            _reader = _reader == twin ? node : _reader;
        }
    }

    // Under the lock.
    private void Take(VaultNode asked, Protocol.GetClusterResponse answer, List<VaultNode> lost)
    {
        bool isLeader = answer.LeaderNodeId == answer.NodeId;
        bool isComplete = true;
        var members = new HashSet<VaultNode>();
        foreach (Protocol.ClusterNode member in answer.Nodes)
        {
            VaultNode? node = member.NodeId == answer.NodeId ? asked : Find(member.Address);
            if (node is null)
            {
                // Its address was never heard of: it may be any of those that are known here.
                isComplete = false;
                continue;
            }

            members.Add(node);
            node.Standing = StandingOf(member);
            node.IsGoodForReads = member is { IsReachable: true, IsLeader: false, State: "serving" or "full", LagGroups: <= MostLagGroups };
            if (member.NodeId == answer.LeaderNodeId && member.NodeId != 0)
            {
                (_leader, _isSure) = (node, isLeader || (_isSure && _leader == node));
            }

            if (isLeader && Look(node, member))
            {
                lost.Add(node);
            }
        }

        foreach (VaultNode gone in isComplete ? _nodes.FindAll(n => n.Standing is NodeStanding.Voter or NodeStanding.Reader && !members.Contains(n)) : [])
        {
            Drop(gone, lost);
        }

        // One that fell behind, or leads, is left where there are others.
        bool stays = _reader is { FailsReads: false, Standing: not NodeStanding.Outsider }
            && (_reader.IsGoodForReads || !_nodes.Exists(static n => n is { FailsReads: false, IsGoodForReads: true }));
        _reader = stays ? _reader : null;
    }

    // Under the lock: what the leader sees of a node. Whether it is lost: cut off from the leader, it tells nothing new to whoever waits there.
    private bool Look(VaultNode node, Protocol.ClusterNode member)
    {
        bool isWell = member is { IsReachable: true, State: "serving" or "full" };
        node.Looks = !member.IsReachable ? Math.Min(node.Looks, 0) - 1 : isWell ? Math.Max(node.Looks, 0) + 1 : 0;
        if (node.Looks == -1 || (node.Looks == 1 && (node.FailsReads || node.FailedAt != 0)))
        {
            WantRefresh(); // It changes something if it is so the next time, too.
        }

        if (node.Looks >= EnoughLooks)
        {
            (node.FailedAt, node.FailsReads) = (0, false);
        }

        if (node.Looks > -EnoughLooks)
        {
            return false;
        }

        node.FailedAt = ++_failures;
        node.FailsReads = _failsReads = _hasFailed = true;
        return true;
    }

    // Under the lock.
    private void Drop(VaultNode node, List<VaultNode> lost)
    {
        if (node.Standing is NodeStanding.Voter or NodeStanding.Reader)
        {
            lost.Add(node);
        }

        node.Standing = NodeStanding.Outsider;
        node.IsGoodForReads = false;
        node.FailedAt = ++_failures;
        node.FailsReads = _failsReads = _hasFailed = true;
        if (!node.IsGiven && _nodes.Remove(node))
        {
            // Its calls are ended; its connections are closed with the client.
            _dropped.Add(node);
        }

        if (_leader == node)
        {
            Move(named: null);
        }

        _reader = _reader == node ? null : _reader;
    }

    private static NodeStanding StandingOf(Protocol.ClusterNode member) =>
        member.Role is Protocol.NodeRole.Voter or Protocol.NodeRole.Leaving ? NodeStanding.Voter : NodeStanding.Reader;
}
