// Between the node and its network: what consensus sends goes out, what comes goes to the sequencer's thread, requests to whoever answers them.
// Without a peer port there is no network, and nobody is reached.
using System.Collections.Concurrent;
using System.Net;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;

namespace EventVault.Node.Peers;

/// <summary>Answers a request of a peer.</summary>
/// <param name="from">Who asks.</param>
/// <param name="content">What it asks.</param>
/// <param name="cancellation">It no longer waits.</param>
/// <exception cref="PeerRequestException">Refused.</exception>
internal delegate Task<byte[]> PeerAnswer(PeerHello from, ReadOnlyMemory<byte> content, CancellationToken cancellation);

/// <summary>The node's side of its peer network. Thread-safe.</summary>
/// <param name="storage">Says who the node is.</param>
/// <param name="options">Where its ports are.</param>
/// <param name="log">Told of roles and refused peers.</param>
internal sealed class NodePeers(VaultStorage storage, NodeOptions options, ILogger log) : IPeerTransport, IPeerReceiver, IAsyncDisposable
{
    private readonly ConcurrentDictionary<PeerRequestKind, PeerAnswer> _answers = new();
    private volatile IPeerNetwork? _network;
    private VaultLoop? _loop;
    private Replica? _replica;
    private string _barred = string.Empty;
    private Membership? _connected; // The sequencer's thread only, as is the next.
    private (bool Leads, ReplicaId? Leader, ulong Term, bool TakesProposals) _told;

    /// <summary>Who this node is to its peers.</summary>
    public ReplicaId Self { get; } = LogEntries.IdOf(storage);

    /// <summary>Whether the node can have peers.</summary>
    public bool HasPort => options.PeerPort is not null;

    /// <summary>Where other nodes reach this one; empty: nowhere.</summary>
    public string Address { get; private set; } = string.Empty;

    /// <summary>The port that was taken; 0: none.</summary>
    public int Port { get; private set; }

    /// <summary>Where clients reach this node.</summary>
    public string ClientAddress { get; private set; } = string.Empty;

    /// <summary>Why this node promises nothing any more, for people; empty: it does.</summary>
    public string Barred => Volatile.Read(ref _barred);

    /// <summary>How the connections stand.</summary>
    public IReadOnlyList<PeerLink> Links => _network?.Links ?? [];

    /// <summary>Bytes of consensus sent to other nodes. For every thread.</summary>
    public long SentBytes => _network?.SentBytes ?? 0;

    /// <summary>Whether a member is to be reached over the network: what this disk was before it began anew is not behind its own address.</summary>
    public bool IsElsewhere(Member member) => member.Id != Self && member.Address.Length > 0 && member.Address != Address;

    /// <summary>Whether a member was heard of within the election timeout, over connections that stand: it is there, whatever a single answer says.</summary>
    public bool Hears(ReplicaId member) => Links.Any(link => link.Peer.Id == member && link.IsConnected && link.SinceHeard <= options.ElectionTimeout);

    /// <summary>What the vault's thread sends through, and hears of changes.</summary>
    public void Bind(VaultLoop loop, Replica replica)
    {
        (_loop, _replica) = (loop, replica);
        replica.Changed = OnStanding;
        loop.AddressOf = AddressOf;
    }

    /// <summary>Answers requests of a kind; before <see cref="StartAsync"/>.</summary>
    public void Serve(PeerRequestKind kind, PeerAnswer answer) => Invariant.Check(_answers.TryAdd(kind, answer), $"{kind} is answered once.");

    /// <summary>Opens the peer port, if there is to be one.</summary>
    /// <exception cref="IOException">It can't be opened.</exception>
    public async Task StartAsync(IPEndPoint rpc)
    {
        ClientAddress = options.Advertise ?? NodePorts.Reachable(rpc);
        if (!HasPort)
        {
            return;
        }

        var hello = new PeerHello(storage.VaultId, Self, Guid.NewGuid(), storage.StartNumber, ClientAddress, Services.AdminService.Version)
        {
            OpenedTerm = _replica!.Opened.Term,
            OpenedLast = _replica.Opened.Last,
            PeerAddress = options.PeerAdvertise ?? string.Empty,
        };
        var network = NodePorts.NewNetwork(options, hello, log, () => _replica.Mark, OnOldDisk);
        try
        {
            await network.StartAsync(this);
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }

        var listens = IPEndPoint.Parse(network.ListenAddress);
        (Port, Address) = (listens.Port, options.PeerAdvertise ?? NodePorts.Reachable(listens));
        _network = network;
        await _loop!.AskAsync(replica =>
        {
            _connected = null;
            Connect(replica.Membership);
            return true;
        });
    }

    /// <summary>Where a member says that other nodes reach it, if it was told so (--peer-advertise); null: it says nothing.</summary>
    public string? AdvertisedBy(ReplicaId member)
    {
        var said = member == Self ? options.PeerAdvertise : Links.FirstOrDefault(link => link.Peer.Id == member)?.Hello?.PeerAddress;
        return said is { Length: > 0 } && Addresses.WhyNot(said) is null ? said : null;
    }

    /// <summary>Where clients reach a replica; empty: nobody knows.</summary>
    public string AddressOf(ReplicaId replica)
    {
        foreach (var link in Links)
        {
            if (link.Peer.Id == replica)
            {
                return link.Hello?.ClientAddress ?? string.Empty;
            }
        }

        return replica == Self ? ClientAddress : string.Empty;
    }

    /// <inheritdoc cref="IPeerNetwork.AskAsync"/>
    public Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        _network is { } network
            ? network.AskAsync(target, kind, content, cancellation)
            : Task.FromException<byte[]>(new PeerRequestException("this node has no peer port: start it with --peer-port"));

    public void Send(in PeerMessage message) => _network?.Send(message);

    public void OnMessage(in PeerMessage message) => _loop!.Receive(message);

    public void OnUnreachable(ReplicaId replica) => _loop!.OnUnreachable(replica);

    public Task<byte[]> AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        _answers.TryGetValue(kind, out var answer)
            ? answer(from, content, cancellation)
            : Task.FromException<byte[]>(new PeerRequestException(kind == PeerRequestKind.Invite
                ? $"it belongs to vault {storage.VaultId} already, as node {Self}"
                : $"requests of the kind {kind} are not answered here"));

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _network, null) is { } network)
        {
            await network.DisposeAsync();
        }
    }

    // Whose vote decides alone has promised nothing to anybody whose word it needs: a vault that was restored from one backup goes on.
    private bool OnOldDisk(string why)
    {
        if (_loop!.Standing.Membership is { IsJoint: false } members && members.Members.Count(m => m.Role == MemberRole.Voter) == 1 && members.RoleOf(Self) == MemberRole.Voter)
        {
            return false;
        }

        if (!_replica!.IsBarred)
        {
            Volatile.Write(ref _barred, $"its disk is an old copy of itself ({why}): it neither votes nor acknowledges anything. Stop it, wipe its data directory, start it with --join, and replace node {Self.Node} (vault-admin cluster replace)");
            _replica.IsBarred = true;
            LogMessages.OldDisk(log, Barred);
        }

        return true;
    }

    // On the sequencer's thread.
    private void OnStanding(ReplicaStanding standing)
    {
        Connect(standing.Membership);
        var told = (standing.Role == Role.Leader, standing.Leader, standing.Term.Value, standing.TakesProposals);
        if (!HasPort || told == _told)
        {
            return;
        }

        _told = told;
        if (standing.Role == Role.Leader)
        {
            LogMessages.Leads(log, standing.Term.Value, standing.TakesProposals);
        }
        else if (standing.Leader is { } leader)
        {
            LogMessages.Follows(log, leader, standing.Term.Value);
        }
    }

    private void Connect(Membership membership)
    {
        if (_network is { } network && !ReferenceEquals(_connected, membership))
        {
            if (_connected is not null)
            {
                LogMessages.MembersChanged(log, membership);
            }

            _connected = membership;
            network.SetPeers([.. membership.Members.Where(IsElsewhere).Select(m => new Peer(m.Id, m.Address))]);
        }
    }
}
