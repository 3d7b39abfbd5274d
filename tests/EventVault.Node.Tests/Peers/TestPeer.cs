using System.Collections.Concurrent;
using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Node.Tests.Support;
using EventVault.Raft;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace EventVault.Node.Tests.Peers;

/// <summary>A network on loopback, and what came over it.</summary>
internal sealed class TestPeer : IPeerReceiver, IAsyncDisposable
{
    private readonly ConcurrentQueue<PeerMessage> _messages = new();
    private readonly ConcurrentQueue<ReplicaId> _unreachable = new();

    private TestPeer(PeerNetworkOptions options)
    {
        Options = options;
        Log = new TestLog();
        Network = new PeerNetwork(options, Log);
    }

    public PeerNetworkOptions Options { get; }

    public PeerNetwork Network { get; }

    public TestLog Log { get; }

    public ReplicaId Id => Options.Hello.Id;

    public Peer AsPeer => new(Id, Network.ListenAddress);

    public IReadOnlyCollection<PeerMessage> Messages => _messages;

    public IReadOnlyCollection<ReplicaId> Unreachable => _unreachable;

    /// <summary>What it does with a message, on the network's thread.</summary>
    public Action<PeerMessage>? Taking { get; set; }

    /// <summary>What it answers.</summary>
    public Func<PeerHello, PeerRequestKind, ReadOnlyMemory<byte>, CancellationToken, Task<byte[]>> Answering { get; set; } =
        static (_, kind, content, _) => Task.FromResult<byte[]>([(byte)kind, .. content.Span]);

    /// <summary>A node of the vault that tests are about.</summary>
    public static Guid Vault { get; } = Guid.Parse("0b0b0b0b-1111-4111-8111-0b0b0b0b0b0b");

    public static PeerHello HelloOf(uint node, uint start = 1) =>
        new(Vault, IdOf(node), Guid.NewGuid(), start, $"client-{node}:1234", "0.2.0");

    public static ReplicaId IdOf(uint node) => new(node, new Guid((int)node, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));

    public static Task<TestPeer> StartAsync(uint node, Func<PeerNetworkOptions, PeerNetworkOptions>? change = null) => StartAsync(HelloOf(node), change);

    public static async Task<TestPeer> StartAsync(PeerHello hello, Func<PeerNetworkOptions, PeerNetworkOptions>? change = null)
    {
        var options = new PeerNetworkOptions { Hello = hello, Address = IPAddress.Loopback };
        var peer = new TestPeer(change is null ? options : change(options));
        await peer.Network.StartAsync(peer);
        return peer;
    }

    /// <summary>Makes all of them know all others, and waits until they are connected.</summary>
    public static async Task ConnectAsync(params TestPeer[] peers)
    {
        foreach (var peer in peers)
        {
            peer.Network.SetPeers([.. peers.Select(p => p.AsPeer)]);
        }

        foreach (var peer in peers)
        {
            await peer.ConnectedAsync();
        }
    }

    public Task ConnectedAsync() => Wait.UntilAsync(() => Network.Links.All(l => l.IsConnected), $"node {Id} is connected to all");

    public PeerLink LinkTo(ReplicaId id) => Network.Links.Single(l => l.Peer.Id == id);

    /// <summary>Sends a message that can be told from others by its index.</summary>
    public void Send(TestPeer to, ulong index, MessageKind kind = MessageKind.Heartbeat, params byte[][] groups) => Network.Send(MessageTo(to.Id, index, kind, groups));

    public PeerMessage MessageTo(ReplicaId to, ulong index, MessageKind kind = MessageKind.Heartbeat, params byte[][] groups) => new(
        Options.Hello.VaultId,
        new Message(kind, Id, to, new Term(7)) { Index = new LogIndex(index), Entries = [.. groups.Select(g => new Entry(new Term(5), EntryKind.Appends, g.Length))] },
        groups);

    public Task GotAsync(int count) => Wait.UntilAsync(() => _messages.Count >= count, $"node {Id} gets {count} messages");

    public void OnMessage(in PeerMessage message)
    {
        Taking?.Invoke(message);
        _messages.Enqueue(message);
    }

    public void OnUnreachable(ReplicaId replica) => _unreachable.Enqueue(replica);

    public Task<byte[]> AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        Answering(from, kind, content, cancellation);

    public ValueTask DisposeAsync() => Network.DisposeAsync();
}

/// <summary>Keeps the lines of a log.</summary>
internal sealed class TestLog : ILogger
{
    private readonly ConcurrentQueue<string> _lines = new();

    public IReadOnlyCollection<string> Lines => _lines;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => NullLogger.Instance.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue($"{logLevel}: {formatter(state, exception)} {exception}");

    public Task SaidAsync(string text) => Wait.UntilAsync(() => _lines.Any(l => l.Contains(text, StringComparison.Ordinal)), $"the log says: {text}");
}
