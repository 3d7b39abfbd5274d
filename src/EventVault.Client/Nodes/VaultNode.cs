using EventVault.Rpc;

namespace EventVault.Client;

/// <summary>
/// One node of the vault as this client reaches it: its connections, made when they are first used. The properties below
/// "roster" belong to the <see cref="NodeRoster"/> and are touched under its lock.
/// </summary>
internal sealed class VaultNode : IAsyncDisposable
{
    // A message of a read holds at least one event, and a node may be set to allow events larger than the default 4 MiB.
    private const int MaxAnswerBytes = 64 << 20;

    // A dead connection is given up after both together: well before the default time-out of an append, so that there
    // is time left to send it again.
    private static readonly TimeSpan KeepAlivePing = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan KeepAliveTimeout = TimeSpan.FromSeconds(10);

    private readonly VaultClientOptions _options;
    private readonly VaultCredentials? _credentials;
    private readonly Lazy<RpcChannel> _reads;
    private readonly Lazy<RpcChannel>[] _appends;
    private readonly Lock _opening = new();
    private bool _isDisposed;
    private CancellationTokenSource _lost = new();
    private bool _isGreeted;

    public VaultNode(Uri address, bool isGiven, VaultClientOptions options, VaultCredentials? credentials)
    {
        Address = address;
        IsGiven = isGiven;
        _options = options;
        _credentials = credentials;
        _reads = new Lazy<RpcChannel>(() => NewChannel(options.ReadConnections, options.StreamWindowBytes));
        _appends = new Lazy<RpcChannel>[options.Sessions];
        for (int i = 0; i < _appends.Length; i++)
        {
            _appends[i] = new Lazy<RpcChannel>(() => NewChannel(connections: 1, streamWindow: 0));
        }
    }

    /// <summary>How it is reached.</summary>
    public Uri Address { get; }

    /// <summary>The user named it; it is kept whatever the vault says.</summary>
    public bool IsGiven { get; }

    /// <summary>The connections that all but appends share.</summary>
    /// <exception cref="VaultException">The client was disposed, and the node had not been used before.</exception>
    public RpcChannel Reads => ChannelOf(_reads);

    /// <summary>Cancelled when the node has turned out to be gone from the vault, or cut off from its leader: what is open there ends. Then a new one.</summary>
    public CancellationToken Lost => Volatile.Read(ref _lost).Token;

    /// <summary>It has said that it belongs to the same vault as the others.</summary>
    public bool IsGreeted
    {
        get => Volatile.Read(ref _isGreeted);
        set => Volatile.Write(ref _isGreeted, value);
    }

    // --- roster ---

    /// <summary>When it failed, counted over all failures; 0: not since the last success.</summary>
    public long FailedAt { get; set; }

    /// <summary>A read failed there, and neither was one answered since nor did the leader call it well again.</summary>
    public bool FailsReads { get; set; }

    /// <summary>Looks by the leader in a row: above 0 in which it was there, since its last failure; below 0 in which it was not.</summary>
    public int Looks { get; set; }

    /// <summary>It said last that it belongs to another vault.</summary>
    public bool IsForeign { get; set; }

    /// <summary>What the vault has said of it.</summary>
    public NodeStanding Standing { get; set; }

    /// <summary>It follows, and was well when the vault was asked last.</summary>
    public bool IsGoodForReads { get; set; }

    /// <summary>The connection of one append session.</summary>
    /// <param name="session">Which one.</param>
    /// <exception cref="VaultException">As for <see cref="Reads"/>.</exception>
    public RpcChannel AppendsOf(int session) => ChannelOf(_appends[session]);

    /// <summary>Ends what is open there.</summary>
    public void Lose()
    {
        // Not disposed: somebody may be about to take its token. Without a timer it holds nothing.
        Interlocked.Exchange(ref _lost, new CancellationTokenSource()).Cancel();
    }

    public async ValueTask DisposeAsync()
    {
        lock (_opening)
        {
            _isDisposed = true;
        }

        foreach (Lazy<RpcChannel> channel in _appends.Append(_reads).Where(static c => c.IsValueCreated))
        {
            await channel.Value.DisposeAsync().ConfigureAwait(false);
        }
    }

    // Nobody would close a connection that is opened behind the client's end.
    private RpcChannel ChannelOf(Lazy<RpcChannel> channel)
    {
        if (channel.IsValueCreated)
        {
            return channel.Value;
        }

        lock (_opening)
        {
            return _isDisposed ? throw VaultErrors.Closed() : channel.Value;
        }
    }

    private RpcChannel NewChannel(int connections, int streamWindow) => new(Address, new RpcChannelOptions
    {
        MaxReceiveBytes = MaxAnswerBytes,
        KeepAlivePing = KeepAlivePing,
        KeepAliveTimeout = KeepAliveTimeout,
        Connections = connections,
        ConnectTimeout = _options.ConnectTimeout,
        Tls = _options.Tls,
        InitialStreamWindow = streamWindow,
        Credentials = _credentials is { } credentials ? (_, headers, cancellation) => credentials.AddToAsync(headers, cancellation) : null,
    });
}

/// <summary>What the vault has said of a node.</summary>
internal enum NodeStanding
{
    /// <summary>Nothing yet: the user named it, or another node did.</summary>
    Unknown,

    /// <summary>It may lead.</summary>
    Voter,

    /// <summary>It belongs to the vault and never leads.</summary>
    Reader,

    /// <summary>It belongs to another vault, to none, or no longer to this one.</summary>
    Outsider,
}
