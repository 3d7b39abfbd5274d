// A node that belongs to no vault: started with --join on an empty directory. It opens its ports, says that it waits, and becomes part of a vault
// when it is told to: by InitCluster, as the first node of a new one, or by a peer's invitation. Then its host opens it anew.
using System.Buffers;
using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Node.Security;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Storage;
using Google.Protobuf;

namespace EventVault.Node;

/// <summary>A node without a vault. Start it, then stop it once.</summary>
internal sealed class UnjoinedNode : IHosted, IPeerReceiver, IAsyncDisposable
{
    private const string State = "unjoined";

    /// <summary>How long calls may take that run when it stops.</summary>
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(1);

    private readonly NodeOptions _options;
    private readonly AccessGuard _guard;
    private readonly NodeWeb _web;
    private readonly RpcServer _server;
    private readonly HealthService _health = new();
    private readonly ILogger _log;
    private readonly SemaphoreSlim _founding = new(1, 1);
    private readonly TaskCompletionSource<string> _reopen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IPeerNetwork? _network;
    private string _address = string.Empty;
    private string _peerAddress = string.Empty;
    private (Guid Vault, uint Node, Guid Incarnation)? _founded;

    private UnjoinedNode(NodeOptions options)
    {
        _options = options;
        _web = new NodeWeb(options);
        _log = _web.Logs.CreateLogger("EventVault.Node");
        _guard = new AccessGuard(options.Access, registry: null, _web.Tls, _log);
        _server = new RpcServer(new RpcServerOptions
        {
            Inspect = _guard.InspectAsync,
            MaxReceiveBytes = NodeLimits.MostRequestBytes,
            Logger = _log,
            UnknownRefusal = static () => Errors.NotJoined().ToException(),
            DrainRefusal = static () => Errors.Draining("the call was not taken").ToException(),
        });
        _server
            .Use(_guard.FilterAsync)
            .UnaryRaw(RpcMethod<GetClusterRequest, GetClusterResponse>.Of(VaultServices.Cluster, "GetCluster"), GetCluster)
            .UnaryRaw(RpcMethod<InitClusterRequest, GetClusterResponse>.Of(VaultServices.Cluster, "InitCluster"), InitAsync);
        _health.AddTo(_server);
        _health.SetStatus(string.Empty, HealthStatus.NotServing);
        _web.Serve(_guard, _server);
        NodeHealth.Map(_web.Pipeline, _guard, static () => State, static path => path == NodeHealth.Live ? null : "the node belongs to no vault yet");
    }

    public IPEndPoint RpcEndPoint { get; private set; } = new(IPAddress.None, 0);

    public IPEndPoint HttpEndPoint { get; private set; } = new(IPAddress.None, 0);

    public int PeerPort { get; private set; }

    public Task<Exception> Failed => _failed.Task;

    public Task<string> Reopen => _reopen.Task;

    /// <summary>Opens the ports.</summary>
    /// <exception cref="IOException">One can't be opened.</exception>
    public static async Task<UnjoinedNode> StartAsync(NodeOptions options)
    {
        var node = new UnjoinedNode(options);
        try
        {
            (node.RpcEndPoint, node.HttpEndPoint) = await node._web.OpenAsync();
            node._address = options.Advertise ?? NodePorts.Reachable(node.RpcEndPoint);
            if (options.PeerPort is not null)
            {
                var hello = new PeerHello(Guid.Empty, default, Guid.NewGuid(), 0, node._address, AdminService.Version);
                node._network = NodePorts.NewNetwork(options, hello, node._log);
                await node._network.StartAsync(node);
                var listens = IPEndPoint.Parse(node._network.ListenAddress);
                (node.PeerPort, node._peerAddress) = (listens.Port, options.PeerAdvertise ?? NodePorts.Reachable(listens));
            }

            Node.WarnOfOpenDoors(node._log, options);
            LogMessages.Unjoined(node._log, node.RpcEndPoint, node.HttpEndPoint, node._peerAddress);
            return node;
        }
        catch
        {
            await node.StopAsync();
            throw;
        }
    }

    public async Task StopAsync()
    {
        await _server.DrainAsync(DrainLimit);
        await Task.Delay(Node.LastAnswers); // As there; and what a peer is told, which may have been an invitation, leaves before its connection goes.
        if (_network is not null)
        {
            await _network.DisposeAsync();
        }

        using (var patience = new CancellationTokenSource(DrainLimit))
        {
            await _web.StopAsync(patience.Token); // Without it a client that does not let go holds up the opening for half a minute.
        }

        await _web.DisposeAsync();
        _guard.Dispose();
        _founding.Dispose();
    }

    /// <summary>As <see cref="StopAsync"/>.</summary>
    public async ValueTask DisposeAsync() => await StopAsync();

    void IPeerReceiver.OnMessage(in PeerMessage message)
    {
        // It can be for nobody here: this node has no number yet.
    }

    void IPeerReceiver.OnUnreachable(ReplicaId replica)
    {
        // It sends nothing.
    }

    async Task<byte[]> IPeerReceiver.AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        switch (kind)
        {
            case PeerRequestKind.Status:
                return Status().ToByteArray();
            case PeerRequestKind.Invite:
                var invited = InviteRequest.Parser.ParseFrom(content.Span);
                if (VaultIdentity.Decode(invited.Identity.Span) is not { } identity || invited.NodeId is 0 or > NodeOptions.HighestNodeId || identity.VaultId != from.VaultId)
                {
                    throw new PeerRequestException("the invitation can't be read: the nodes must be of versions that fit");
                }

                var founded = await FoundAsync(NodeOptions.StorageOf(_options, invited.NodeId) with { Join = identity }, $"node {from.Id} has added it to vault {from.VaultId}");
                return new InviteAnswer { Incarnation = ClusterView.Bytes(founded.Incarnation) }.ToByteArray();
            default:
                throw new PeerRequestException("it belongs to no vault yet");
        }
    }

    private ValueTask<GetClusterResponse> GetCluster(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(GetClusterRequest.Parser, request);
        return ValueTask.FromResult(Look());
    }

    private async ValueTask<GetClusterResponse> InitAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(InitClusterRequest.Parser, request);
        if (asked.NodeId > NodeOptions.HighestNodeId)
        {
            throw Errors.InvalidRequest("node_id", $"is {asked.NodeId}, over the highest number of a node, {NodeOptions.HighestNodeId}").ToException();
        }

        if (asked.PeerAddress.Length > 0 && Addresses.WhyNot(asked.PeerAddress) is { } why)
        {
            throw Errors.InvalidRequest("peer_address", $"can't be used: {why.TrimEnd('.')}").ToException();
        }

        var caller = AccessGuard.CallerOf(context);
        LogMessages.MembersAsked(_log, caller.Name, context.Peer, "make a vault here");
        var number = asked.NodeId == 0 ? _options.NodeId ?? 1 : asked.NodeId;
        try
        {
            PeerAdvertise = asked.PeerAddress.Length > 0 ? asked.PeerAddress : null;
            await FoundAsync(NodeOptions.StorageOf(_options, number), "a vault was made here");
        }
        catch (PeerRequestException e)
        {
            throw Errors.NodeUnusable("node_id", e.Message).ToException(e);
        }

        return Look();
    }

    /// <summary>Where other nodes reach the vault that was made here, if that was said.</summary>
    public string? PeerAdvertise { get; private set; }

    // Once: whoever comes second hears what it has become.
    private async Task<(Guid Vault, uint Node, Guid Incarnation)> FoundAsync(StorageOptions storage, string why)
    {
        await _founding.WaitAsync();
        try
        {
            if (_options.NodeId is { } wanted && wanted != storage.NodeId)
            {
                throw new PeerRequestException($"it was started as node {wanted} (--node-id), not {storage.NodeId}");
            }

            if (_founded is { } already)
            {
                return already.Node == storage.NodeId && (storage.Join is null || storage.Join.VaultId == already.Vault)
                    ? already
                    : throw new PeerRequestException($"it has just become node {already.Node} of vault {already.Vault}");
            }

            var (vault, incarnation) = await Task.Run(() => VaultStorage.Found(_options.Files, _options.Directory, storage, VaultLoop.Now(_options.Clock)));
            _founded = (vault, storage.NodeId, incarnation);
            _reopen.TrySetResult(why);
            return _founded.Value;
        }
        catch (Exception e) when (e is Storage.Io.DiskException or DamageException or Storage.Io.DirectoryInUseException or ForeignDirectoryException or UnsupportedFormatException)
        {
            _failed.TrySetResult(e);
            throw new PeerRequestException($"its data directory can't be used: {e.Message}", e);
        }
        finally
        {
            _founding.Release();
        }
    }

    private GetClusterResponse Look()
    {
        var status = Status();
        var response = new GetClusterResponse { VaultId = status.VaultId, NodeId = status.VaultId.IsEmpty ? 0 : status.Node.NodeId };
        response.Nodes.Add(status.Node);
        return response;
    }

    // Once its directory is a vault's it says so, though it has yet to be opened.
    private PeerStatus Status()
    {
        var status = new PeerStatus { Node = Own() };
        if (_founded is { } founded)
        {
            status.VaultId = ClusterView.Bytes(founded.Vault);
            (status.Node.NodeId, status.Node.Incarnation, status.Node.Problem) = (founded.Node, ClusterView.Bytes(founded.Incarnation), string.Empty);
        }

        return status;
    }

    private ClusterNode Own() => new()
    {
        NodeId = _options.NodeId ?? 0, // The one that it wants.
        PeerAddress = PeerAdvertise ?? _peerAddress,
        Address = _address,
        IsReachable = true,
        State = State,
        Version = AdminService.Version,
        Problem = "it belongs to no vault yet",
    };
}
