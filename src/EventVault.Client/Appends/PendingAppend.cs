using System.Buffers;

namespace EventVault.Client;

/// <summary>
/// An append from the call of the SDK to its answer. Its request stays encoded until then, so that a resend has the
/// same content. All fields below "queue" belong to the <see cref="AppendQueue"/> and are touched under its lock.
/// </summary>
/// <remarks>
/// The completion source runs its continuations inline, unlike all others in this project: it is only ever
/// completed by an <see cref="AnswerCompletion"/>, one thread-pool item for all appends of an answer, because an
/// item per append cost up to half of all throughput.
/// </remarks>
internal sealed class PendingAppend : TaskCompletionSource<AppendResult>
{
    // Room before the append for request id and the append's own tag and length, after it for the head that was seen
    // before the first attempt, with its tag and length, and for the time-out.
    private const int HeaderRoom = 1 + 10 + 1 + 5;
    private const int TrailerRoom = 1 + 1 + 1 + 10 + 1 + 5;
    private const int AttemptedAfterField = 6;

    private readonly Guid _operationId;
    private readonly int _encodedSize;
    private readonly AppendOptions? _options;

    // The caller says that an earlier call of its own may have written it.
    private readonly bool _isRepeat;
    private long _attemptedAfter;
    private byte[]? _buffer;

    public PendingAppend(
        Guid operationId, IReadOnlyList<StreamAppend> streams, int encodedSize, TimeSpan timeout, AppendOptions? options = null)
    {
        _operationId = operationId;
        _encodedSize = encodedSize;
        Streams = streams;

        // Most options name an operation id at most; those need not be kept.
        _options = options is { IsUnconditional: false } ? options : null;
        AttemptedAfter = options?.AttemptedAfter;
        _isRepeat = AttemptedAfter is not null;
        long now = Environment.TickCount64;
        TimeoutAt = timeout == Timeout.InfiniteTimeSpan ? long.MaxValue : now + (long)timeout.TotalMilliseconds;
        EndsAt = TimeoutAt;
    }

    public IReadOnlyList<StreamAppend> Streams { get; }

    /// <summary>Of the encoded request, with its frame.</summary>
    public int Size => _encodedSize + HeaderRoom + TrailerRoom;

    /// <summary>The append's own time-out, in <see cref="Environment.TickCount64"/>.</summary>
    public long TimeoutAt { get; }

    public Guid OperationId => _operationId;

    /// <summary>A head seen before the first attempt; null: there was no attempt yet. Set by the writer, read by whoever reports a failure.</summary>
    public SeenHead? AttemptedAfter
    {
        get => SeenPosition.HeadOf(Volatile.Read(ref _attemptedAfter));
        private set => Volatile.Write(ref _attemptedAfter, SeenPosition.NextOf(value));
    }

    // --- queue ---

    /// <summary>Place in the session; assigned by the queue, kept over resends.</summary>
    public ulong RequestId { get; set; }

    /// <summary>When the waiting ends: the time-out, or earlier if the retry policy gives up before.</summary>
    public long EndsAt { get; set; }

    /// <summary>The retry policy's end has been worked into <see cref="EndsAt"/>.</summary>
    public bool HasFailedOnce { get; set; }

    /// <summary>Sent, perhaps partly, over the call that is open now.</summary>
    public bool SentNow { get; set; }

    /// <summary>Sent over an earlier call that ended without saying what became of it.</summary>
    public bool MayBeWritten { get; set; }

    /// <summary>The outcome is decided; at most the answer's place in the session is still awaited.</summary>
    public bool Decided { get; set; }

    public bool IsEncoded => _buffer is not null;

    // --- outcome: set once by whoever decided, read by the completion ---

    public AppendResult? Result { get; set; }

    public VaultException? Failure { get; set; }

    /// <summary>Writes the request's bytes. By the caller or the writer, never both.</summary>
    public void Encode()
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Size);
        AppendEncoder.Write(_operationId, Streams, buffer.AsSpan(HeaderRoom, _encodedSize), _options);
        _buffer = buffer;
    }

    /// <summary>
    /// The <c>AppendSessionRequest</c>, with the time-out that is left and, if an earlier attempt may have been written, the
    /// head that was seen before the first one. Valid until the buffer is released.
    /// </summary>
    /// <param name="now"><see cref="Environment.TickCount64"/>.</param>
    /// <param name="seen">The head that has been seen by now; null: nobody has told one.</param>
    public ReadOnlySpan<byte> Frame(long now, SeenHead? seen)
    {
        byte[] buffer = _buffer ?? throw new InvalidOperationException("The append is not encoded, or has been answered.");
        int appendSize = _encodedSize;
        if (!MayBeWritten && !_isRepeat)
        {
            // Every attempt so far was refused or never sent: this one is as good as the first.
            AttemptedAfter = seen;
        }
        else if (AttemptedAfter is { } before)
        {
            appendSize += WriteAttemptedAfter(buffer.AsSpan(HeaderRoom + _encodedSize), before);
        }

        int headerSize = WireWriter.VarintFieldSize(RequestId) + 1 + WireWriter.VarintSize((ulong)appendSize);
        int start = HeaderRoom - headerSize;
        var header = new WireWriter(buffer.AsSpan(start, headerSize));
        header.VarintField(1, RequestId);
        header.BytesHeader(2, appendSize);
        int end = HeaderRoom + appendSize;
        if (TimeoutAt != long.MaxValue)
        {
            var trailer = new WireWriter(buffer.AsSpan(end));
            trailer.VarintField(3, (ulong)Math.Clamp(TimeoutAt - now, 1, uint.MaxValue));
            end += trailer.Offset;
        }

        return buffer.AsSpan(start, end - start);
    }

    // A message of its own, empty if the vault was: that says more than leaving it out.
    private static int WriteAttemptedAfter(Span<byte> target, SeenHead seen)
    {
        var writer = new WireWriter(target);
        writer.BytesHeader(AttemptedAfterField, seen.Position is { } p ? WireWriter.VarintFieldSize(p) : 0);
        if (seen.Position is { } position)
        {
            writer.VarintField(1, position);
        }

        return writer.Offset;
    }

    /// <summary>Gives the buffer back; no frame of it may be in use.</summary>
    /// <returns>The bytes that were held.</returns>
    public int Release()
    {
        if (_buffer is not { } buffer)
        {
            return 0;
        }

        _buffer = null;
        ArrayPool<byte>.Shared.Return(buffer);
        return Size;
    }

    /// <summary>Hands the outcome to the caller, whose code may run inside this.</summary>
    public void Complete()
    {
        if (Failure is { } failure)
        {
            TrySetException(failure);

            // A caller that cancelled its waiting is not there to look at the exception any more.
            _ = Task.Exception;
        }
        else
        {
            TrySetResult(Result!);
        }
    }
}
