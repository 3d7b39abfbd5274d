// Takes connections of other nodes: hello, admission, and then either messages or requests.
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;

namespace EventVault.Node.Peers;

/// <summary>Listens for other nodes.</summary>
internal sealed class PeerListener(PeerNetworkOptions options, PeerRegistry registry, IPeerReceiver receiver, ILogger log) : IAsyncDisposable
{
    /// <summary>How long a handler may take: who asks waits less long.</summary>
    private static readonly TimeSpan HandlerLimit = TimeSpan.FromSeconds(15);

    /// <summary>A node that is refused dials again every second; its refusal is logged again only after so long.</summary>
    private static readonly TimeSpan LoggedAgain = TimeSpan.FromMinutes(1);

    /// <summary>Refusals that are known to have been logged: a few for each node that could be misled. Beyond it all are forgotten.</summary>
    private const int MostLogged = 256;

    private readonly Dictionary<(IPAddress? From, string Reason), long> _logged = [];
    private readonly Socket _socket = new(options.Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
    private readonly AcceptedConnections _accepted = new();
    private readonly HashSet<Task> _open = [];
    private readonly Lock _opening = new();
    private Task _accepting = Task.CompletedTask;

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint { get; private set; } = new(options.Address, options.Port);

    /// <exception cref="IOException">The port can't be opened.</exception>
    public void Start(CancellationToken stopping)
    {
        try
        {
            _socket.Bind(new IPEndPoint(options.Address, options.Port));
            _socket.Listen();
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw new IOException($"The port for other nodes, {new IPEndPoint(options.Address, options.Port)}, can't be opened: {e.Message}.", e);
        }

        EndPoint = (IPEndPoint)_socket.LocalEndPoint!;
        _accepting = Task.Run(() => AcceptAsync(stopping), CancellationToken.None);
    }

    /// <summary>Ends when all that was cancelled through the token of <see cref="Start"/> is gone.</summary>
    public async ValueTask DisposeAsync()
    {
        await _accepting;
        _socket.Dispose();
        Task[] open;
        lock (_opening)
        {
            open = [.. _open];
        }

        await Task.WhenAll(open);
    }

    private async Task AcceptAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            AcceptedConnection accepted;
            AcceptedConnection? closed;
            try
            {
                accepted = _accepted.Add(await _socket.AcceptAsync(stopping), out closed);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (SocketException)
            {
                // Of a connection that was gone before it was taken, or because this process has no descriptor left: that passes.
                await Task.Delay(TimeSpan.FromMilliseconds(100), stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            lock (_opening)
            {
                _open.RemoveWhere(static t => t.IsCompleted);
                _open.Add(Task.Run(() => ServeAsync(accepted, stopping), CancellationToken.None));
            }

            if (closed is { Address: { } from })
            {
                LogRefusal(new IPEndPoint(from, 0), "others came while it had not shown to be a member of this vault, and too many wait like that");
            }
        }
    }

    private async Task ServeAsync(AcceptedConnection accepted, CancellationToken stopping)
    {
        EndPoint? address = null;
        try
        {
            address = accepted.Socket.RemoteEndPoint;
            PeerConnector.Configure(accepted.Socket);
            await using var stream = await SecureAsync(new NetworkStream(accepted.Socket), stopping);
            await ServeAsync(accepted, stream, address, stopping);
        }
        catch (AuthenticationException e)
        {
            LogRefusal(address, e.Message);
        }
        catch (BadFrameException e)
        {
            PeerLogMessages.BadBytes(log, address, e.Message);
        }
        catch (Exception e) when (e is OperationCanceledException || PeerConnection.IsBroken(e))
        {
            // Gone: whoever dialled dials again.
        }
        catch (Exception e)
        {
            PeerLogMessages.Failed(log, e, address);
        }
        finally
        {
            accepted.Close();
            _accepted.Remove(accepted);
        }
    }

    private async Task<Stream> SecureAsync(Stream stream, CancellationToken stopping)
    {
        if (options.Tls is not { } tls)
        {
            return stream;
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(options.HelloLimit);
        return await tls.AcceptAsync(stream, limit.Token);
    }

    private async Task ServeAsync(AcceptedConnection accepted, Stream stream, EndPoint? address, CancellationToken stopping)
    {
        var reader = new FrameReader(stream);
        var writer = new FrameWriter(stream, options.Hello.VaultId, options.Hello.Id);
        PeerConnection? connection = null;
        try
        {
            PeerHello hello;
            PeerLane lane;
            using (var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping))
            {
                limit.CancelAfter(options.HelloLimit);
                if (await reader.ReadHeaderAsync(limit.Token) is not { } header)
                {
                    return;
                }

                (hello, lane, _) = header.Kind == FrameKind.Hello
                    ? PeerFrames.DecodeHello(header, await reader.ReadContentAsync(header, limit.Token))
                    : throw new BadFrameException($"a frame ({header.Kind}) came before the hello");
                if (lane != PeerLane.Requests)
                {
                    connection = new PeerConnection(stream, reader, options.Hello, hello, lane, isDialled: false, options.Clock, registry);
                }

                var foreign = WhyNot(header, hello, lane);
                var refused = foreign is null ? await registry.AdmitAsync(hello, connection) : new PeerRefusal(foreign);
                if ((refused ?? WhyFull(accepted, hello)) is { } refusal)
                {
                    LogRefusal(address, refusal.Why);
                    await writer.WriteAsync(FrameKind.Refusal, hello.Id, PeerFrames.EncodeRefusal(refusal), limit.Token);
                    await writer.FlushAsync(limit.Token);
                    return;
                }

                await writer.WriteAsync(FrameKind.Welcome, hello.Id, PeerFrames.EncodeHello(options.Hello, 0, PeerConnection.Now(options.Clock)), limit.Token);
                await writer.FlushAsync(limit.Token);
            }

            if (connection is null)
            {
                await AnswerAsync(reader, writer, hello, accepted.IsMember ? PeerLimits.RequestBytes : PeerLimits.StrangersRequestBytes, stopping);
            }
            else
            {
                await using var stop = stopping.UnsafeRegister(static c => ((PeerConnection)c!).Close(string.Empty), connection);
                await connection.RunAsync(message => receiver.OnMessage(message));
            }
        }
        finally
        {
            if (connection is not null)
            {
                registry.Remove(connection);
                await connection.DisposeAsync();
            }
        }
    }

    private void LogRefusal(EndPoint? address, string reason)
    {
        var now = Environment.TickCount64;
        var key = ((address as IPEndPoint)?.Address, reason);
        lock (_opening)
        {
            if (_logged.TryGetValue(key, out var at) && now - at < LoggedAgain.TotalMilliseconds)
            {
                return;
            }

            if (_logged.Count == MostLogged)
            {
                _logged.Clear();
            }

            _logged[key] = now;
        }

        PeerLogMessages.Refused(log, address, reason);
    }

    private string? WhyNot(in FrameHeader header, PeerHello hello, PeerLane lane)
    {
        var own = options.Hello;
        if (PeerConnector.WhyForeign(own, hello, lane) is { } why)
        {
            return why;
        }

        if (header.To != default && header.To != own.Id)
        {
            return $"{header.To} was asked for, and this is {(own.Id.Node == 0 ? "a node that belongs to no vault yet" : own.Id)}";
        }

        return lane != PeerLane.Requests && (header.To == default || hello.Id.Node == 0 || hello.VaultId == Guid.Empty)
            ? "messages go between replicas of a vault"
            : null;
    }

    // Whoever belongs to no vault stays a stranger; to a node that belongs to none everybody is one.
    private PeerRefusal? WhyFull(AcceptedConnection accepted, PeerHello hello) =>
        hello.Id.Node == 0 || hello.VaultId == Guid.Empty || hello.VaultId != options.Hello.VaultId || _accepted.TryAdmit(accepted)
            ? null
            : new PeerRefusal($"no place is left: {AcceptedConnections.MostOfMembers} are for members' connections");

    // One at a time; who wants more at once dials more connections.
    private async Task AnswerAsync(FrameReader reader, FrameWriter writer, PeerHello hello, int most, CancellationToken stopping)
    {
        while (true)
        {
            FrameHeader header;
            using (var idle = CancellationTokenSource.CreateLinkedTokenSource(stopping))
            {
                idle.CancelAfter(2 * RequestConnections.KeptFor);
                if (await reader.ReadHeaderAsync(idle.Token) is not { } next)
                {
                    return;
                }

                header = next;
            }

            if (header.Kind != FrameKind.Request || header.Length == 0 || header.VaultId != hello.VaultId || header.From != hello.Id)
            {
                throw new BadFrameException($"a frame ({header.Kind}) has no place on a connection for requests");
            }

            if (header.Length > 1 + most)
            {
                throw new BadFrameException($"a request has {header.Length - 1} bytes, {most} are the most of who belongs to no vault");
            }

            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(HandlerLimit);
            var request = await reader.ReadContentAsync(header, limit.Token);
            try
            {
                var answer = await receiver.AnswerAsync(hello, (PeerRequestKind)request[0], request.AsMemory(1), limit.Token);
                Invariant.Check(answer.Length <= PeerLimits.RequestBytes);
                await writer.WriteAsync(FrameKind.Answer, hello.Id, answer, limit.Token);
            }
            catch (PeerRequestException e)
            {
                await writer.WriteAsync(FrameKind.Failure, hello.Id, PeerFrames.EncodeText(e.Message), limit.Token);
            }

            await writer.FlushAsync(limit.Token);
        }
    }
}
