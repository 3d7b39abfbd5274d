using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;

namespace EventVault.Node.Peers;

/// <summary>A stream to another node that has said who it is.</summary>
/// <param name="Socket">Owned by the stream.</param>
/// <param name="Stream">Owned by whoever has this.</param>
/// <param name="Reader">Reads from it; may hold bytes that came behind the hello.</param>
/// <param name="Hello">How the other node introduced itself.</param>
/// <param name="Clock">Its wall clock, 100 ns ticks since 1970.</param>
internal sealed record GreetedStream(Socket Socket, Stream Stream, FrameReader Reader, PeerHello Hello, long Clock);

/// <summary>Dials other nodes and says hello.</summary>
/// <param name="options">How this node introduces itself.</param>
/// <param name="onOldDisk">Told when a node of the vault refuses this one because its disk is an old copy, and why.</param>
internal sealed class PeerConnector(PeerNetworkOptions options, Action<string> onOldDisk)
{
    /// <summary>
    /// How long an address may take to answer at all. Short, as what a cut has swallowed is repeated ever more slowly by the
    /// system, and another attempt finds the line mended sooner.
    /// </summary>
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(2);

    /// <summary>Connects; the name is looked up anew.</summary>
    /// <exception cref="PeerRequestException">Nobody is there, or somebody else, or this node is not wanted.</exception>
    /// <exception cref="OperationCanceledException">Cancelled by the caller.</exception>
    public async Task<GreetedStream> ConnectAsync(PeerTarget target, PeerLane lane, CancellationToken cancellation)
    {
        var socket = NewSocket();
        try
        {
            await ConnectAsync(socket, target.Address, cancellation);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(options.HelloLimit);
            Stream stream = new NetworkStream(socket, ownsSocket: true);
            if (options.Tls is { } tls)
            {
                stream = await tls.DialAsync(stream, limit.Token);
            }

            return await GreetAsync(socket, stream, target, lane, limit.Token);
        }
        catch (Exception e)
        {
            socket.Dispose();
            cancellation.ThrowIfCancellationRequested();
            throw e switch
            {
                PeerRequestException => e,
                OperationCanceledException => new PeerRequestException($"{target.Address} took the connection and did not answer the hello", e),
                AuthenticationException => new PeerRequestException($"{target.Address} is not believed: {e.Message}", e),
                BadFrameException => new PeerRequestException($"{target.Address} answers what no node would: {e.Message}", e),
                _ when PeerConnection.IsBroken(e) => new PeerRequestException($"{target.Address} can't be reached: {e.Message}", e),
                _ => e,
            };
        }
    }

    /// <summary>A socket as all connections between nodes want it.</summary>
    public static void Configure(Socket socket)
    {
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 2);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 5);
    }

    private static Socket NewSocket()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        Configure(socket);
        return socket;
    }

    private static async Task ConnectAsync(Socket socket, string address, CancellationToken cancellation)
    {
        var endPoint = ParseAddress(address);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(ConnectLimit);
        try
        {
            await socket.ConnectAsync(endPoint, limit.Token);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new PeerRequestException($"{address} can't be reached: nothing answered within {ConnectLimit.TotalSeconds:0} s", e);
        }
    }

    private async Task<GreetedStream> GreetAsync(Socket socket, Stream stream, PeerTarget target, PeerLane lane, CancellationToken cancellation)
    {
        var own = options.Hello;
        var writer = new FrameWriter(stream, own.VaultId, own.Id);
        await writer.WriteAsync(FrameKind.Hello, target.Id ?? default, PeerFrames.EncodeHello(own, lane, PeerConnection.Now(options.Clock)), cancellation);
        await writer.FlushAsync(cancellation);
        var reader = new FrameReader(stream);
        if (await reader.ReadHeaderAsync(cancellation) is not { } header)
        {
            throw new PeerRequestException($"{target.Address} ended the connection instead of answering the hello; its log may say why", new EndOfStreamException());
        }

        if (header.Kind is not (FrameKind.Welcome or FrameKind.Refusal))
        {
            throw new BadFrameException($"a frame ({header.Kind}) answers a hello");
        }

        var content = await reader.ReadContentAsync(header, cancellation);
        if (header.Kind == FrameKind.Refusal)
        {
            var refusal = PeerFrames.DecodeRefusal(content);
            if (refusal.IsOldDisk && header.VaultId == own.VaultId && header.From == target.Id)
            {
                onOldDisk(refusal.Why);
            }

            throw new PeerRequestException($"{target.Address} refuses this node: {refusal.Why}");
        }

        var (hello, _, clock) = PeerFrames.DecodeHello(header, content);
        if (target.Id is { } expected && hello.Id != expected)
        {
            throw new PeerRequestException($"{target.Address} is {hello.Id}, not {expected}");
        }

        return WhyForeign(own, hello, lane) is { } why
            ? throw new PeerRequestException($"{target.Address} can't be used: {why}")
            : new GreetedStream(socket, stream, reader, hello, clock);
    }

    /// <summary>Why a node is no peer, for people; null: it may be one.</summary>
    public static string? WhyForeign(PeerHello own, PeerHello hello, PeerLane lane)
    {
        if (hello.VaultId == own.VaultId || (lane == PeerLane.Requests && (hello.VaultId == Guid.Empty || own.VaultId == Guid.Empty)))
        {
            return null; // Of requests the handler decides: nodes that belong to no vault yet are asked to join one.
        }

        static string Of(Guid vault) => vault == Guid.Empty ? "no vault yet" : $"vault {vault}";
        return $"it belongs to {Of(hello.VaultId)}, this node ({own.Id}) to {Of(own.VaultId)}";
    }

    /// <summary>HOST:PORT; the host can be a name, an address, or an IPv6 address in brackets.</summary>
    /// <exception cref="PeerRequestException">It is none.</exception>
    public static EndPoint ParseAddress(string address)
    {
        var colon = address.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(address.AsSpan(colon + 1), out var port) || port == 0)
        {
            throw new PeerRequestException($"\"{address}\" is no address: HOST:PORT is one");
        }

        var host = address[..colon].Trim('[', ']');
        return IPAddress.TryParse(host, out var ip) ? new IPEndPoint(ip, port) : new DnsEndPoint(host, port);
    }
}
