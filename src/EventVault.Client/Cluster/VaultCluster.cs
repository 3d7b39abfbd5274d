using EventVault.Rpc;

namespace EventVault.Client;

/// <summary>
/// The nodes of a vault and how they change: <see cref="VaultClient.Cluster"/>. Changes are made one at a time, by the leader, which the
/// client finds; each may be repeated: what is done already changes nothing. Thread-safe.
/// </summary>
public sealed class VaultCluster
{
    private readonly VaultCalls _calls;

    internal VaultCluster(VaultCalls calls) => _calls = calls;

    /// <summary>How the nodes stand, as one of them sees them: the leader, if it can be reached.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">No node answered.</exception>
    public async Task<ClusterStatus> StatusAsync(CancellationToken cancellationToken = default) => ClusterStatus.From(
        await _calls.ReadAsync(VaultMethods.GetCluster, new Protocol.GetClusterRequest(), cancellationToken).ConfigureAwait(false));

    /// <summary>
    /// Makes a vault on a node that was started with <c>--join</c> and belongs to none: it becomes its first and only voter. Asks the node that the
    /// client's address names first and never another one, so that a lost answer can't make two vaults.
    /// </summary>
    /// <param name="nodeId">Its number, 1 to 65,535; 0: 1.</param>
    /// <param name="peerAddress">Where other nodes will reach it, HOST:PORT; empty: as it was started.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="NodeUnusableException">It has no port for peers.</exception>
    /// <exception cref="VaultException">It failed, for instance because the node belongs to a vault that was made in another way.</exception>
    public Task<ClusterStatus> InitAsync(uint nodeId = 0, string peerAddress = "", CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(peerAddress);
        return ChangeAsync(VaultMethods.InitCluster, new Protocol.InitClusterRequest { NodeId = nodeId, PeerAddress = peerAddress }, cancellationToken, onlyFirst: true);
    }

    /// <summary>
    /// Adds a node that was started with <c>--join</c> and belongs to no vault. Returns when it belongs to this one: it gets the log then, and becomes a
    /// voter by itself when it has caught up.
    /// </summary>
    /// <param name="peerAddress">Where the leader reaches it, HOST:PORT: its address for peers, not for clients.</param>
    /// <param name="options">Its number and role; null: the lowest free number, a voter.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="NodeUnusableException">It can't be reached, or belongs to a vault already.</exception>
    /// <exception cref="ChangePendingException">Another change is under way.</exception>
    /// <exception cref="VaultException">It failed.</exception>
    public Task<ClusterStatus> AddAsync(string peerAddress, AddNodeOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(peerAddress);
        options ??= new AddNodeOptions();
        var request = new Protocol.AddNodeRequest { PeerAddress = peerAddress, NodeId = options.NodeId, ReadReplica = options.IsReadReplica };
        return ChangeAsync(VaultMethods.AddNode, request, cancellationToken);
    }

    /// <summary>Removes a node; the leader hands over first.</summary>
    /// <param name="nodeId">Its number. One that no member has changes nothing.</param>
    /// <param name="force">Also if too few voters remain that are there; the vault may then not go on without the removed one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="UnsafeChangeException">Too few voters that are there and caught up would remain.</exception>
    /// <exception cref="ChangePendingException">Another change is under way.</exception>
    /// <exception cref="VaultException">It failed.</exception>
    public Task<ClusterStatus> RemoveAsync(uint nodeId, bool force = false, CancellationToken cancellationToken = default) =>
        ChangeAsync(VaultMethods.RemoveNode, new Protocol.RemoveNodeRequest { NodeId = nodeId, Force = force }, cancellationToken);

    /// <summary>
    /// Puts a new disk in the place of a node's lost one: a node started with <c>--join</c> on an empty directory takes over its number. Returns when it gets
    /// the log; it votes in the old one's place by itself when it has caught up.
    /// </summary>
    /// <param name="nodeId">The member whose disk is gone.</param>
    /// <param name="peerAddress">Where the leader reaches the node that takes its place, HOST:PORT: its address for peers.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="NodeNotFoundException">No member has this number.</exception>
    /// <exception cref="NodeUnusableException">The new node can't be reached, or belongs to a vault already.</exception>
    /// <exception cref="ChangePendingException">Another change is under way.</exception>
    /// <exception cref="VaultException">It failed.</exception>
    public Task<ClusterStatus> ReplaceAsync(uint nodeId, string peerAddress, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(peerAddress);
        return ChangeAsync(VaultMethods.ReplaceNode, new Protocol.ReplaceNodeRequest { NodeId = nodeId, PeerAddress = peerAddress }, cancellationToken);
    }

    /// <summary>Hands leadership over. Returns when another node leads.</summary>
    /// <param name="toNodeId">To whom; 0: to the voter that is furthest.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <exception cref="NodeNotFoundException">No voter has this number.</exception>
    /// <exception cref="VaultException">It failed.</exception>
    public async Task<ClusterStatus> TransferAsync(uint toNodeId = 0, CancellationToken cancellationToken = default)
    {
        if (toNodeId == 0)
        {
            // By name: a repeat, after an answer that was lost, must not hand leadership on from the one that got it.
            ClusterStatus status = await StatusAsync(cancellationToken).ConfigureAwait(false);
            toNodeId = status.Nodes.Where(static n => n is { Role: ClusterRole.Voter, IsLeader: false, IsReachable: true })
                .OrderByDescending(static n => n.LastIndex).Select(static n => n.NodeId).FirstOrDefault();
        }

        var request = new Protocol.TransferLeadershipRequest { ToNodeId = toNodeId };
        return await ChangeAsync(VaultMethods.TransferLeadership, request, cancellationToken).ConfigureAwait(false);
    }

    // Without an operation id: a repeat changes nothing that is done, which is why it is safe to send again.
    private async Task<ClusterStatus> ChangeAsync<TRequest>(
        RpcMethod<TRequest, Protocol.GetClusterResponse> method, TRequest request, CancellationToken cancellation, bool onlyFirst = false)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new() => ClusterStatus.From(
            await _calls.ChangeAsync(method, request, static _ => { }, VaultErrors.ClusterChangeUnknown, cancellation, onlyFirst).ConfigureAwait(false));
}
