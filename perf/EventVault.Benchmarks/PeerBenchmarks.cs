using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Raft;
using Microsoft.Extensions.Logging.Abstractions;

namespace EventVault.Benchmarks;

/// <summary>
/// Messages between two nodes beside the same bytes over a bare pair of sockets, in turns: what frames, checksums, queues and
/// tasks cost. Everything runs in this process, on loopback.
/// </summary>
internal static class PeerBenchmarks
{
    /// <summary>Most messages and bytes on their way: less than a connection queues, and as much as the core sends ahead.</summary>
    private const int MostAhead = 1024;

    private const int MostBytesAhead = 16 << 20;

    public static async Task RunAsync(Report report, TimeSpan length)
    {
        report.Section("Between nodes", "Two networks, and two bare sockets that carry as many bytes, in turns; medians of three. One way: with up to 1,024 messages or 16 MiB on their way. Round: one message there and one back.");
        report.Head("what", "nodes", "bare sockets", "ratio", "bytes allocated a message");
        await using var pair = await NetworkPair.StartAsync();
        foreach (var (name, kind, groupBytes) in ((string, MessageKind, int)[])[("heartbeats, one way", MessageKind.Heartbeat, 0), ("groups of 4 KiB, one way", MessageKind.Append, 4096), ("groups of 1 MiB, one way", MessageKind.Append, 1 << 20)])
        {
            var message = NetworkPair.MessageOf(kind, groupBytes);
            await CompareAsync(report, name, groupBytes, () => pair.OneWayAsync(message, length), () => BareSockets.OneWayAsync(BytesOf(message), length));
        }

        await CompareAsync(report, "heartbeat, round", 0, () => pair.RoundAsync(length), () => BareSockets.RoundAsync(BytesOf(NetworkPair.MessageOf(MessageKind.Heartbeat, 0)), length));
    }

    private static int BytesOf(in PeerMessage message) => FrameHeader.Bytes + MessageCodec.LengthOf(message);

    private static async Task CompareAsync(Report report, string name, int groupBytes, Func<Task<Measured>> nodes, Func<Task<Measured>> bare)
    {
        var runs = new List<(Measured Nodes, Measured Bare)>();
        for (var i = 0; i < 3; i++)
        {
            runs.Add((await nodes(), await bare()));
        }

        string Figure(double perSecond) => groupBytes >= 1 << 20 ? $"{Report.Figure(perSecond * groupBytes / (1 << 20))} MiB/s" : $"{Report.Figure(perSecond)}/s";
        report.Row(
            name, Figure(Measure.Median(runs.Select(r => r.Nodes.PerSecond))), Figure(Measure.Median(runs.Select(r => r.Bare.PerSecond))),
            Report.Ratio(Measure.Median(runs.Select(r => r.Nodes.PerSecond / r.Bare.PerSecond))), Report.Figure(Measure.Median(runs.Select(r => r.Nodes.AllocatedPerOperation))));
    }

    /// <summary>Two networks that know each other.</summary>
    private sealed class NetworkPair : IAsyncDisposable
    {
        private readonly Receiver _left = new();
        private readonly Receiver _right = new();
        private readonly PeerNetwork _from = NetworkOf(1);
        private readonly PeerNetwork _to = NetworkOf(2);

        public static async Task<NetworkPair> StartAsync()
        {
            var pair = new NetworkPair();
            await pair._from.StartAsync(pair._left);
            await pair._to.StartAsync(pair._right);
            pair._from.SetPeers([new Peer(IdOf(2), pair._to.ListenAddress)]);
            pair._to.SetPeers([new Peer(IdOf(1), pair._from.ListenAddress)]);
            while (!pair._from.Links[0].IsConnected || !pair._to.Links[0].IsConnected)
            {
                await Task.Delay(1);
            }

            return pair;
        }

        public static PeerMessage MessageOf(MessageKind kind, int groupBytes) => new(
            VaultId, new Message(kind, IdOf(1), IdOf(2), new Term(1)) { Entries = groupBytes == 0 ? [] : [new Entry(new Term(1), EntryKind.Appends, groupBytes)] },
            groupBytes == 0 ? [] : [new byte[groupBytes]]);

        public async Task<Measured> OneWayAsync(PeerMessage message, TimeSpan length)
        {
            _right.OnNext = null;
            var allocated = GC.GetTotalAllocatedBytes(precise: true);
            var begun = Stopwatch.GetTimestamp();
            var before = _right.Count;
            var window = Math.Min(MostAhead, MostBytesAhead / BytesOf(message));
            long sent = 0;
            while (Stopwatch.GetElapsedTime(begun) < length)
            {
                for (; sent - (_right.Count - before) < window; sent++)
                {
                    _from.Send(message);
                }

                await Task.Yield();
            }

            while (_right.Count - before < sent)
            {
                await Task.Yield();
            }

            return new Measured(sent, Stopwatch.GetElapsedTime(begun).TotalSeconds, [], GC.GetTotalAllocatedBytes(precise: true) - allocated);
        }

        public async Task<Measured> RoundAsync(TimeSpan length)
        {
            var there = MessageOf(MessageKind.Heartbeat, 0);
            var back = there with { Raft = there.Raft with { From = IdOf(2), To = IdOf(1) } };
            var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var allocated = GC.GetTotalAllocatedBytes(precise: true);
            var begun = Stopwatch.GetTimestamp();
            var before = _left.Count;
            _right.OnNext = () => _to.Send(back);
            _left.OnNext = () =>
            {
                if (Stopwatch.GetElapsedTime(begun) < length)
                {
                    _from.Send(there);
                }
                else
                {
                    ended.SetResult();
                }
            };
            _from.Send(there);
            await ended.Task;
            return new Measured(_left.Count - before, Stopwatch.GetElapsedTime(begun).TotalSeconds, [], GC.GetTotalAllocatedBytes(precise: true) - allocated);
        }

        public async ValueTask DisposeAsync()
        {
            await _from.DisposeAsync();
            await _to.DisposeAsync();
        }

        private static Guid VaultId { get; } = new(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);

        private static ReplicaId IdOf(uint node) => new(node, new Guid((int)node, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));

        private static PeerNetwork NetworkOf(uint node) => new(
            new PeerNetworkOptions { Hello = new PeerHello(VaultId, IdOf(node), Guid.NewGuid(), 1, "", "") }, NullLogger.Instance);
    }

    /// <summary>Counts what comes.</summary>
    private sealed class Receiver : IPeerReceiver
    {
        private long _count;

        public long Count => Volatile.Read(ref _count);

        public Action? OnNext { get; set; }

        public void OnMessage(in PeerMessage message)
        {
            Interlocked.Increment(ref _count);
            OnNext?.Invoke();
        }

        public void OnUnreachable(ReplicaId replica)
        {
        }

        public Task<byte[]> AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
            throw new PeerRequestException("nothing is asked here");
    }

    /// <summary>The same bytes, without anything around them.</summary>
    private static class BareSockets
    {
        public static async Task<Measured> OneWayAsync(int bytes, TimeSpan length)
        {
            var (from, to) = await ConnectAsync();
            using var left = from;
            using var right = to;
            var read = Task.Run(async () =>
            {
                var buffer = new byte[Math.Max(bytes, 16 * 1024)];
                long got = 0;
                while (await to.ReceiveAsync(buffer) is > 0 and var count)
                {
                    got += count;
                }

                return got;
            });
            var buffer = new byte[Math.Max(bytes, 32 * 1024 / bytes * bytes)]; // As many messages in a call as a connection gathers.
            var begun = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(begun) < length)
            {
                await from.SendAsync(buffer);
            }

            from.Shutdown(SocketShutdown.Send);
            return new Measured(await read / bytes, Stopwatch.GetElapsedTime(begun).TotalSeconds, [], 0);
        }

        public static async Task<Measured> RoundAsync(int bytes, TimeSpan length)
        {
            var (from, to) = await ConnectAsync();
            using var left = from;
            using var right = to;
            var echo = Task.Run(async () =>
            {
                var buffer = new byte[bytes];
                while (await ReceiveAsync(to, buffer))
                {
                    await to.SendAsync(buffer);
                }
            });
            var buffer = new byte[bytes];
            long rounds = 0;
            var begun = Stopwatch.GetTimestamp();
            for (; Stopwatch.GetElapsedTime(begun) < length; rounds++)
            {
                await from.SendAsync(buffer);
                await ReceiveAsync(from, buffer);
            }

            var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            from.Shutdown(SocketShutdown.Send);
            await echo;
            return new Measured(rounds, seconds, [], 0);
        }

        private static async Task<bool> ReceiveAsync(Socket socket, byte[] whole)
        {
            for (var at = 0; at < whole.Length;)
            {
                var read = await socket.ReceiveAsync(whole.AsMemory(at));
                if (read == 0)
                {
                    return false;
                }

                at += read;
            }

            return true;
        }

        private static async Task<(Socket From, Socket To)> ConnectAsync()
        {
            var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var from = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await from.ConnectAsync(listener.LocalEndpoint);
            var to = await listener.AcceptSocketAsync();
            to.NoDelay = true;
            listener.Stop();
            return (from, to);
        }
    }
}
