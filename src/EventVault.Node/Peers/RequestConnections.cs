// Asks other nodes. A connection carries one request at a time and is kept for a while; several requests at once have several.
// How nodes stand is asked beside everything else: whatever hangs, and however much is shipped, must not make live nodes look dead.
using System.Net.Sockets;

namespace EventVault.Node.Peers;

/// <summary>Requests to other nodes. Safe for concurrent use.</summary>
internal sealed class RequestConnections(PeerNetworkOptions options, PeerConnector connector, PeerRegistry registry, CancellationToken stopping)
{
    /// <summary>How long a connection is kept for the next request.</summary>
    public static readonly TimeSpan KeptFor = TimeSpan.FromSeconds(15);

    /// <summary>How long a request may take if its caller does not say less.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(10);

    private readonly List<KeptConnection> _kept = [];
    private readonly Lock _keeping = new();
    private readonly Underway _status = new();
    private readonly Underway _others = new();

    /// <inheritdoc cref="IPeerNetwork.AskAsync"/>
    public async Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(content.Length, PeerLimits.RequestBytes);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, stopping);
        limit.CancelAfter(AnswerLimit);
        KeptConnection? connection = null;
        var underway = kind == PeerRequestKind.Status ? _status : _others;
        try
        {
            if (Interlocked.Increment(ref underway.Count) > options.MostRequests)
            {
                throw new PeerRequestException($"{options.MostRequests} requests to other nodes are under way already");
            }

            connection = Take(target) ?? await ConnectAsync(target, limit.Token);
            var answer = await connection.AskAsync(kind, content, limit.Token);
            Keep(connection);
            connection = null;
            return answer.Content ?? throw new PeerRequestException(answer.Failure!);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new PeerRequestException(stopping.IsCancellationRequested ? "this node is stopping" : $"{target.Address} did not answer within {AnswerLimit.TotalSeconds:0} s", e);
        }
        catch (BadFrameException e)
        {
            throw new PeerRequestException($"{target.Address} answers what no node would: {e.Message}", e);
        }
        catch (Exception e) when (PeerConnection.IsBroken(e))
        {
            throw new PeerRequestException($"the connection to {target.Address} broke: {e.Message}", e);
        }
        finally
        {
            Interlocked.Decrement(ref underway.Count);
            if (connection is not null)
            {
                connection.Close();
            }
        }
    }

    /// <summary>Closes connections that nobody has used for a while.</summary>
    public void CloseIdle() => CloseBefore(Environment.TickCount64 - (long)KeptFor.TotalMilliseconds);

    /// <summary>Ends when all requests have, which are cancelled already.</summary>
    public async Task StopAsync()
    {
        while (Volatile.Read(ref _status.Count) + Volatile.Read(ref _others.Count) > 0)
        {
            await Task.Delay(1);
        }

        CloseBefore(long.MaxValue);
    }

    private void CloseBefore(long time)
    {
        lock (_keeping)
        {
            _kept.RemoveAll(connection =>
            {
                var isOld = connection.UsedAt <= time;
                if (isOld)
                {
                    connection.Close();
                }

                return isOld;
            });
        }
    }

    private KeptConnection? Take(PeerTarget target)
    {
        lock (_keeping)
        {
            while (_kept.FindLastIndex(c => c.Target == target) is >= 0 and var at)
            {
                var connection = _kept[at];
                _kept.RemoveAt(at);
                if (connection.IsUsable)
                {
                    return connection;
                }

                connection.Close();
            }
        }

        return null;
    }

    private void Keep(KeptConnection connection)
    {
        connection.UsedAt = Environment.TickCount64;
        lock (_keeping)
        {
            _kept.Add(connection);
        }
    }

    private async Task<KeptConnection> ConnectAsync(PeerTarget target, CancellationToken cancellation)
    {
        var greeted = await connector.ConnectAsync(target, PeerLane.Requests, cancellation);
        if (await registry.AdmitAsync(greeted.Hello, connection: null) is { } refusal)
        {
            await greeted.Stream.DisposeAsync();
            throw new PeerRequestException($"{target.Address} is refused: {refusal.Why}");
        }

        return new KeptConnection(target, greeted, options.Hello);
    }

    /// <summary>Requests of a kind that have begun and not ended.</summary>
    private sealed class Underway
    {
        public int Count;
    }

    /// <summary>A connection for one request at a time.</summary>
    private sealed class KeptConnection(PeerTarget target, GreetedStream greeted, PeerHello own)
    {
        private readonly FrameWriter _writer = new(greeted.Stream, own.VaultId, own.Id);

        public PeerTarget Target => target;

        /// <summary>Milliseconds since the machine's start.</summary>
        public long UsedAt { get; set; }

        /// <summary>Nothing comes unasked: what can be read is the connection's end.</summary>
        public bool IsUsable => !greeted.Socket.Poll(0, SelectMode.SelectRead);

        public async Task<(byte[]? Content, string? Failure)> AskAsync(PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation)
        {
            var request = new byte[1 + content.Length];
            request[0] = (byte)kind;
            content.CopyTo(request.AsMemory(1));
            await _writer.WriteAsync(FrameKind.Request, greeted.Hello.Id, request, cancellation);
            await _writer.FlushAsync(cancellation);
            var header = await greeted.Reader.ReadHeaderAsync(cancellation) ?? throw new EndOfStreamException("it was ended instead of an answer");
            if (header.Kind is not (FrameKind.Answer or FrameKind.Failure) || header.From != greeted.Hello.Id || header.VaultId != greeted.Hello.VaultId)
            {
                throw new BadFrameException($"a frame ({header.Kind}) answers a request");
            }

            var answer = await greeted.Reader.ReadContentAsync(header, cancellation);
            return header.Kind == FrameKind.Answer ? (answer, null) : (null, PeerFrames.DecodeText(answer));
        }

        public void Close() => greeted.Stream.Dispose();
    }
}
