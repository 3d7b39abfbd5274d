// One AppendSession call: many appends, pipelined.
//
// Two loops. The reader takes whatever has arrived, copies it once, checks each append on its own thread and queues them
// as one chain. The answerer waits for the oldest append to be decided, gathers all answers that are ready into one
// message, and flushes once. What is unanswered is bounded: beyond it nothing is read, and the transport holds the
// client back.
//
// Refusals that are not failed checks (overload, full, drain, time-out, unknown outcome) refuse an append and all after
// it. Refused by the sequencer: it sets IsRefusing on its thread and asks for it before it decides the next one. Refused
// on the way to the queue: nothing more is read. So whatever is unanswered when the call ends is not written.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using EventVault.Node.Metrics;
using EventVault.Node.Security;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>Runs one append session.</summary>
internal sealed class AppendSession(
    VaultStorage storage, VaultLoop loop, AppendRequestReader requests, AppendFigures figures, NodeOptions options, AppendRights? rights,
    RpcReader<AppendSessionRequest> reader, RpcWriter<AppendSessionResponse> writer, RpcContext context)
{
    private readonly ConcurrentQueue<SessionAppend> _unanswered = new();
    private readonly ConcurrentQueue<SessionAppend> _free = new();
    private readonly SessionSignal _decided = new();
    private readonly SessionSignal _room = new();
    private readonly AnswerMessage _message = new();
    private readonly AnswerCount _answered = new(figures);
    private readonly AppendClient _client = context.Connection.State<AppendClient>();
    private readonly long _callEnds = context.TimeLeft is { } left ? VaultLoop.NowMs(options.Clock) + (long)left.TotalMilliseconds : long.MaxValue;
    private RequestBytes? _bytes;
    private long _arrived;
    private SessionAppend? _first;
    private SessionAppend? _last;
    private int _queuedCount;
    private long _queuedBytes;
    private long _open;
    private long _openBytes;
    private bool _takesMore = true;
    private volatile bool _refusing;
    private volatile bool _ended;
    private volatile bool _readEnded;
    private volatile bool _draining;
    private Exception? _readFailure;

    /// <summary>Whether all appends that are not decided yet are refused.</summary>
    public bool IsRefusing => _refusing;

    /// <summary>From here on appends are refused. The sequencer's thread.</summary>
    public void BeginRefusing() => _refusing = true;

    /// <summary>Some append is decided.</summary>
    public void OnDecided() => _decided.Set();

    /// <summary>Ends when the client has sent its last append and all are answered, or with the refusal that ended it.</summary>
    public async ValueTask RunAsync()
    {
        await using var drain = context.Draining.UnsafeRegister(static session => ((AppendSession)session!).OnDraining(), this);
        var reading = ReadAsync();
        try
        {
            await AnswerAsync();
        }
        finally
        {
            _ended = true;
            _room.Set();
            reader.StopReading();
            await reading;
        }

        if (_readFailure is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }

        if (_draining)
        {
            throw Errors.Draining("what is unanswered was definitely not written").ToException();
        }
    }

    private void OnDraining()
    {
        // What has been read is finished; an idle session would otherwise wait for its client for ever.
        _draining = true;
        reader.StopReading();
    }

    private async Task ReadAsync()
    {
        try
        {
            while (_takesMore && !_ended && !_refusing && await reader.ReadFrameAsync())
            {
                ReadAvailable();
                while (!_ended && IsFull)
                {
                    await _room.WaitAsync();

                    // Off the answerer's thread, which makes room: what is queued next may be written where it is queued.
                    await Task.Yield();
                }
            }
        }
        catch (Exception e)
        {
            // The answerer's loop is the call: it ends with this once what came before is answered.
            _readFailure = e;
        }

        _bytes?.Release();
        _bytes = null;
        _readEnded = true;
        _decided.Set();
    }

    private bool IsFull => Volatile.Read(ref _open) >= options.SessionAppends || Volatile.Read(ref _openBytes) >= NodeOptions.SessionBytes;

    private void ReadAvailable()
    {
        _arrived = Stopwatch.GetTimestamp();
        try
        {
            rights?.Renew();
            do
            {
                Take(reader.Message);
            }
            while (_takesMore && !IsFull && !_refusing && reader.TryReadFrame());
        }
        finally
        {
            // Also before a frame that breaks the call: what came before it stands, and the answerer waits for it.
            Queue();
        }
    }

    private void Take(in System.Buffers.ReadOnlySequence<byte> message)
    {
        var length = (int)message.Length;
        if (_bytes is null || !_bytes.HasRoomFor(length))
        {
            // Filled to its end over many reads: were each read to begin with new bytes, a slow disk would let appends
            // of 100 bytes hold on to 64 KiB each.
            _bytes?.Release();
            _bytes = new RequestBytes(length);
        }

        var offset = _bytes.Add(message);
        var append = _free.TryDequeue(out var used) ? used : new SessionAppend(this, storage) { Client = _client };
        var refusal = ReadEnvelope(_bytes.Bytes.AsSpan(offset, length), out var envelope);
        append.Begin(envelope.RequestId, _bytes);
        append.Arrived = _arrived;
        append.Deadline = envelope.TimeoutMs == 0 ? _callEnds : Math.Min(_callEnds, VaultLoop.NowMs(options.Clock) + envelope.TimeoutMs);
        append.EndsSession = refusal is not null;
        if (append.EndsSession)
        {
            // A request that can't be taken apart: what is behind it can't be trusted either.
            _takesMore = false;
        }
        else
        {
            refusal = requests.Read(_bytes.Bytes, offset + envelope.AppendStart, envelope.AppendLength, append.Content)
                ?? LookUp(append);
            append.Trace = refusal is null ? Tracing.ContextOf(append.Content.Event(0)) : null;
        }

        append.Refusal = refusal;
        append.QueuedBytes = length + append.Content.HeldBytes;
        Interlocked.Increment(ref _open);
        Interlocked.Add(ref _openBytes, append.QueuedBytes);
        if (refusal is not null || append.Outcome == AppendOutcome.Known)
        {
            append.Decide(append.Outcome);
            _unanswered.Enqueue(append);
            _decided.Set();
            return;
        }

        _unanswered.Enqueue(append);
        if (_last is null)
        {
            _first = append;
        }
        else
        {
            _last.Next = append;
        }

        _last = append;
        _queuedCount++;
        _queuedBytes += append.QueuedBytes;
    }

    // What is damaged concerns this append alone.
    private Refusal? LookUp(SessionAppend append)
    {
        try
        {
            return AppendRights.LookUp(storage.Reader, append, rights);
        }
        catch (DamageException e)
        {
            return Errors.Damaged(e);
        }
        catch (IndexDamageException e)
        {
            return Errors.Damaged(e);
        }
    }

    private void Queue()
    {
        if (_first is not { } first)
        {
            return;
        }

        var refused = loop.Enqueue(first, _last!, _queuedCount, _queuedBytes);
        (_first, _last, _queuedCount, _queuedBytes) = (null, null, 0, 0);
        if (refused == AppendOutcome.None)
        {
            return;
        }

        _takesMore = false;
        for (var append = first; append is not null;)
        {
            // Once decided it may be answered and used again at any moment.
            var next = (SessionAppend?)append.Next;
            append.Next = null;
            append.Decide(refused);
            append = next;
        }

        _decided.Set();
    }

    private static Refusal? ReadEnvelope(ReadOnlySpan<byte> request, out Envelope envelope)
    {
        envelope = new Envelope { AppendStart = -1 };
        var seen = 0;
        var fields = new WireReader(request);
        while (fields.Next())
        {
            if (fields.Field > 3)
            {
                return Errors.UnknownField(fields.Field.ToString(System.Globalization.CultureInfo.InvariantCulture));
            }

            var name = fields.Field switch { 1 => "request_id", 2 => "append", _ => "timeout_ms" };
            if (fields.WireType != (fields.Field == 2 ? WireReader.Delimited : WireReader.Varint))
            {
                return Errors.InvalidRequest(name, "has the wrong wire type");
            }

            if ((seen & (1 << fields.Field)) != 0)
            {
                return Errors.InvalidRequest(name, "stands twice");
            }

            seen |= 1 << fields.Field;
            switch (fields.Field)
            {
                case 1:
                    envelope.RequestId = fields.Number;
                    break;
                case 2:
                    (envelope.AppendStart, envelope.AppendLength) = (fields.Start, fields.Length);
                    break;
                default:
                    envelope.TimeoutMs = (long)Math.Min(fields.Number, uint.MaxValue);
                    break;
            }
        }

        return fields.Malformed ? Errors.InvalidRequest(string.Empty, "is not an encoded AppendSessionRequest message")
            : envelope.AppendStart < 0 ? Errors.InvalidRequest("append", "is missing")
            : null;
    }

    private async ValueTask AnswerAsync()
    {
        while (true)
        {
            // Read before the queue: what the reader queued before it ended is seen.
            var readEnded = _readEnded;
            var end = GatherAnswers();
            if (!_message.IsEmpty)
            {
                _answered.Flush();
                writer.WriteFrame(_message.Encoded);
                var more = _message.IsFull;
                _message.Clear();
                if (!more || writer.WantsFlush)
                {
                    await writer.FlushAsync();
                }

                _room.Set();
                if (end is null)
                {
                    continue;
                }
            }

            if (end is not null)
            {
                throw end.ToException();
            }

            if (readEnded && _unanswered.IsEmpty)
            {
                return;
            }

            await _decided.WaitAsync();
        }
    }

    // Answers what is decided, in request order; returns the refusal that ends the session, if one was among them.
    private Refusal? GatherAnswers()
    {
        while (!_message.IsFull && _unanswered.TryPeek(out var append) && append.IsDecided)
        {
            _unanswered.TryDequeue(out _);
            var end = Answer(append);
            Interlocked.Decrement(ref _open);
            Interlocked.Add(ref _openBytes, -append.QueuedBytes);
            append.Request!.Release();
            append.Request = null;
            append.Content.Clear();
            _free.Enqueue(append);
            if (end is not null)
            {
                return end;
            }
        }

        return null;
    }

    private Refusal? Answer(SessionAppend append)
    {
        if (append.Refusal is null && append.Outcome == AppendOutcome.Appended)
        {
            _message.AddAppended(append.RequestId, append);
            _answered.Appended(append);
            if (append.Trace is { } trace)
            {
                Tracing.Appended(trace, append, Errors.Name(append.Content.Name(append.Content.Streams[0])), append.DecidedAt);
            }

            return null;
        }

        AppendResponse? response = null;
        Refusal? refusal;
        try
        {
            refusal = append.Refusal ?? AppendAnswers.Answer(storage.Reader, append, loop.LeaderAddress, out response);
        }
        catch (DamageException e)
        {
            refusal = Errors.Damaged(e);
        }
        catch (IndexDamageException e)
        {
            refusal = Errors.Damaged(e);
        }

        if (response is not null)
        {
            _message.AddResponse(append.RequestId, response);
            figures.Deduplicated();
            return null;
        }

        _message.AddError(append.RequestId, refusal!.ToAppendError());
        figures.Refused(refusal);
        return refusal.EndsSession || append.EndsSession ? refusal : null;
    }

    private struct Envelope
    {
        public ulong RequestId;
        public int AppendStart;
        public int AppendLength;
        public long TimeoutMs;
    }
}
