// A connection that carries messages of consensus, in either direction, once both sides have said hello. A reader takes what
// comes, a writer drains the queue; when one of them ends, so does the connection.
using System.Diagnostics;
using System.Threading.Channels;
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>An urgent or a bulk connection to a peer.</summary>
internal sealed class PeerConnection : IAsyncDisposable
{
    /// <summary>
    /// Messages queued on a connection: several times what the core has on its way to a follower (64), and all the heartbeats
    /// and answers of minutes. What is more is of no use to a peer that can't keep up.
    /// </summary>
    public const int MostQueued = 4096;

    /// <summary>
    /// Bytes queued on a connection: twice what the core has on its way to a follower (RaftOptions.MaxInFlightBytes, 16 MiB).
    /// The groups are not copied: peers that wait for the same ones share them. One message may always go.
    /// </summary>
    public const long MostQueuedBytes = 32L * 1024 * 1024;

    private readonly Stream _stream;
    private readonly FrameReader _reader;
    private readonly FrameWriter _writer;
    private readonly PeerHello _own;
    private readonly TimeProvider _clock;
    private readonly PeerRegistry _registry;
    private readonly Channel<Outgoing> _queue = Channel.CreateUnbounded<Outgoing>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource _closing = new();
    private readonly Task _ended;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string _reason = string.Empty;
    private int _queued;
    private long _queuedBytes;
    private ulong _pings;
    private long _pingSent;
    private ulong _answered;
    private long _heardAt = Environment.TickCount64;
    private long _clockAhead;
    private (long Reads, long Writes) _progress;
    private int _silentPings;

    /// <param name="stream">Owned by this from now on.</param>
    /// <param name="reader">Reads from it; may hold bytes that came behind the hello.</param>
    /// <param name="own">This node.</param>
    /// <param name="hello">The other one.</param>
    /// <param name="lane">What it is for.</param>
    /// <param name="isDialled">Whether this node dialled.</param>
    /// <param name="clock">The wall clock.</param>
    /// <param name="registry">Told of the marks of the other disk, and knows that of the own one.</param>
    public PeerConnection(Stream stream, FrameReader reader, PeerHello own, PeerHello hello, PeerLane lane, bool isDialled, TimeProvider clock, PeerRegistry registry)
    {
        _stream = stream;
        _reader = reader;
        _writer = new FrameWriter(stream, own.VaultId, own.Id, registry.CountSent);
        _own = own;
        _clock = clock;
        _registry = registry;
        _ended = _closed.Task;
        Hello = hello;
        Lane = lane;
        IsDialled = isDialled;
    }

    /// <summary>How the other side introduced itself.</summary>
    public PeerHello Hello { get; }

    /// <summary>What it is for.</summary>
    public PeerLane Lane { get; }

    /// <summary>Whether this node dialled.</summary>
    public bool IsDialled { get; }

    /// <summary>Whether it was closed, from this side or the other.</summary>
    public bool IsClosed => _closing.IsCancellationRequested;

    /// <summary>Messages that wait to be sent. For every thread.</summary>
    public int Queued => Volatile.Read(ref _queued);

    /// <summary>Their bytes. For every thread.</summary>
    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>Milliseconds since the machine's start when something last came.</summary>
    public long HeardAt => Volatile.Read(ref _heardAt);

    /// <summary>How far the other clock is ahead, by the last answered ping; null: none was answered.</summary>
    public TimeSpan? ClockAhead => Volatile.Read(ref _answered) == 0 ? null : TimeSpan.FromTicks(Volatile.Read(ref _clockAhead));

    /// <summary>Queues a message. For every thread; does not block.</summary>
    /// <param name="message">The message.</param>
    /// <param name="wasEmpty">Whether nothing else is on its way.</param>
    /// <returns>False: the queue is full, or the connection closed.</returns>
    public bool TrySend(in PeerMessage message, out bool wasEmpty)
    {
        var bytes = FrameHeader.Bytes + MessageCodec.LengthOf(message);
        return TryQueue(new Outgoing(FrameKind.Message, message, 0, bytes), out wasEmpty);
    }

    /// <summary>Asks for a sign of life.</summary>
    /// <returns>The number that the answer will have; null: the queue is full.</returns>
    public ulong? Ping()
    {
        var number = Interlocked.Increment(ref _pings);
        return TryQueue(new Outgoing(FrameKind.Ping, default, number, FrameHeader.Bytes + PeerFrames.PingBytes), out _) ? number : null;
    }

    /// <summary>Whether the other side still answers. Ends when it does, when the connection does, or after a time.</summary>
    public async Task<bool> AnswersAsync(TimeSpan limit)
    {
        var look = TimeSpan.FromMilliseconds(10);
        var until = Stopwatch.GetTimestamp() + (long)(limit.TotalSeconds * Stopwatch.Frequency);
        var number = Ping();
        while (!IsClosed && Volatile.Read(ref _answered) < (number ?? ulong.MaxValue) && Stopwatch.GetTimestamp() < until)
        {
            await Task.WhenAny(_ended, Task.Delay(look));
            number ??= Ping();
        }

        return !IsClosed && Volatile.Read(ref _answered) >= (number ?? ulong.MaxValue);
    }

    /// <summary>
    /// Called once for each interval between pings; counts those in which nothing moved. A pause of this process counts once at
    /// most, however long it was: what came meanwhile still waits to be read.
    /// </summary>
    /// <returns>Intervals since the last sign of life.</returns>
    public int CountSilence()
    {
        // What goes out proves nothing, as the system takes it whether or not anyone is there; unless there is more of it than
        // the system takes: then a bulk connection is busy with something large.
        var now = (_reader.Reads, Lane == PeerLane.Bulk && Volatile.Read(ref _queued) > 0 ? _writer.Writes : _progress.Writes);
        _silentPings = now == _progress ? _silentPings + 1 : 0;
        _progress = now;
        return _silentPings;
    }

    /// <summary>Ends it. For every thread.</summary>
    /// <param name="reason">Why, for people; empty: nothing is wrong.</param>
    public void Close(string reason)
    {
        Interlocked.CompareExchange(ref _reason, reason, string.Empty);
        _closing.Cancel();
    }

    /// <summary>Carries messages until it is closed or breaks.</summary>
    /// <param name="onMessage">Takes what comes.</param>
    /// <returns>Why it ended; empty: nothing is wrong.</returns>
    /// <exception cref="BadFrameException">What came was no frame of this connection.</exception>
    public async Task<string> RunAsync(Action<PeerMessage> onMessage)
    {
        var writing = WriteAsync();
        try
        {
            await ReadAsync(onMessage);
            Close("the other side ended the connection");
        }
        catch (Exception e) when (e is OperationCanceledException || IsBroken(e))
        {
            Close($"the connection broke: {e.Message}");
        }
        finally
        {
            Close(string.Empty);
            await writing;
            _closed.TrySetResult();
        }

        return _reason;
    }

    public async ValueTask DisposeAsync()
    {
        Close(string.Empty);
        _closed.TrySetResult();
        await _stream.DisposeAsync();
        _closing.Dispose();
    }

    /// <summary>Whether a connection that is gone may throw it.</summary>
    public static bool IsBroken(Exception e) => e is (IOException and not BadFrameException) or System.Net.Sockets.SocketException or ObjectDisposedException;

    private bool TryQueue(in Outgoing item, out bool wasEmpty)
    {
        var bytes = Interlocked.Add(ref _queuedBytes, item.Bytes);
        var count = Interlocked.Increment(ref _queued);
        wasEmpty = count == 1;
        if (!IsClosed && count <= MostQueued && (bytes <= MostQueuedBytes || wasEmpty) && _queue.Writer.TryWrite(item))
        {
            return true;
        }

        Leave(item);
        return false;
    }

    private void Leave(in Outgoing item)
    {
        Interlocked.Add(ref _queuedBytes, -item.Bytes);
        Interlocked.Decrement(ref _queued);
    }

    private async Task ReadAsync(Action<PeerMessage> onMessage)
    {
        while (await _reader.ReadHeaderAsync(_closing.Token) is { } header)
        {
            if (header.VaultId != Hello.VaultId || header.From != Hello.Id || header.To != _own.Id)
            {
                throw new BadFrameException($"a frame is from {header.From} of vault {header.VaultId} to {header.To}; {Hello.Id} of vault {Hello.VaultId} and {_own.Id} said hello");
            }

            switch (header.Kind)
            {
                case FrameKind.Message:
                    var message = await _reader.ReadMessageAsync(header, _closing.Token);
                    if (message.Raft is { Kind: MessageKind.AppendAnswer, Rejected: false } answer)
                    {
                        // Before it is counted: what counts for a commit is known of the disk.
                        _registry.Saw(Hello, new DiskMark(answer.Term.Value, answer.Index.Value, 0));
                    }

                    onMessage(message);
                    break;
                case FrameKind.Ping:
                    var ping = await _reader.ReadPingAsync(header, _closing.Token);
                    _registry.Saw(Hello, ping.Mark);
                    TryQueue(new Outgoing(FrameKind.Pong, default, ping.Number, FrameHeader.Bytes + PeerFrames.PingBytes), out _);
                    break;
                case FrameKind.Pong:
                    var pong = await _reader.ReadPingAsync(header, _closing.Token);
                    _registry.Saw(Hello, pong.Mark);
                    OnPong(pong.Number, pong.Clock);
                    break;
                default:
                    throw new BadFrameException($"a frame ({header.Kind}) has no place on a connection for messages");
            }

            Volatile.Write(ref _heardAt, Environment.TickCount64);
        }
    }

    private void OnPong(ulong number, long clock)
    {
        var sent = Volatile.Read(ref _pingSent);
        if (number == Volatile.Read(ref _pings) && sent != 0)
        {
            // The other clock was read about halfway between the ping and now.
            var ahead = clock + (Stopwatch.GetElapsedTime(sent).Ticks / 2) - Now(_clock);
            Volatile.Write(ref _clockAhead, ahead);
        }

        Volatile.Write(ref _answered, number);
    }

    private async Task WriteAsync()
    {
        try
        {
            while (await _queue.Reader.WaitToReadAsync(_closing.Token))
            {
                while (_queue.Reader.TryRead(out var item))
                {
                    try
                    {
                        await WriteAsync(item);
                    }
                    finally
                    {
                        Leave(item);
                    }
                }

                await _writer.FlushAsync(_closing.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException || IsBroken(e))
        {
            Close($"the connection broke: {e.Message}");
        }
    }

    private ValueTask WriteAsync(in Outgoing item)
    {
        switch (item.Kind)
        {
            case FrameKind.Message:
                return _writer.WriteAsync(item.Message, _closing.Token);
            case FrameKind.Ping:
                Volatile.Write(ref _pingSent, Stopwatch.GetTimestamp());
                return _writer.WritePingAsync(item.Kind, Hello.Id, item.Number, Now(_clock), _registry.OwnMark, _closing.Token);
            default:
                return _writer.WritePingAsync(item.Kind, Hello.Id, item.Number, Now(_clock), _registry.OwnMark, _closing.Token);
        }
    }

    /// <summary>100 ns ticks since 1970.</summary>
    public static long Now(TimeProvider clock) => (clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks;

    /// <summary>A frame that waits to be written.</summary>
    private readonly record struct Outgoing(FrameKind Kind, PeerMessage Message, ulong Number, int Bytes);
}
