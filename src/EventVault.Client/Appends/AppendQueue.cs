namespace EventVault.Client;

/// <summary>
/// The appends of one session in the order in which they were asked for:
/// <code>
///   oldest ......... next ......... end
///   given to the     not sent over
///   open call        the open call
/// </code>
/// It guarantees that an append is decided once, that what is unanswered is sent again in the same order and before
/// anything newer, and that the encoded bytes it holds stay within the limits. Thread-safe; nothing here waits or
/// runs a caller's code.
/// </summary>
internal sealed class AppendQueue(int maxInFlightAppends, int maxInFlightBytes)
{
    private readonly Lock _lock = new();
    private PendingAppend[] _ring = new PendingAppend[64];
    private long _oldest;
    private long _written;
    private long _next;
    private long _end;
    private ulong _lastRequestId;
    private long _sentBytes;
    private long _encodedBytes;
    private int _undecided;
    private bool _closed;
    private TaskCompletionSource? _emptied;

    /// <summary>Signalled when there may be something to send.</summary>
    public AsyncSignal Work { get; } = new();

    /// <summary>Appends whose callers still wait.</summary>
    public int Undecided
    {
        get
        {
            lock (_lock)
            {
                return _undecided;
            }
        }
    }

    /// <summary>Whether the open call was given appends that it has not answered.</summary>
    public bool HasUnanswered
    {
        get
        {
            lock (_lock)
            {
                return _oldest < _next;
            }
        }
    }

    /// <summary>
    /// Whether another append of this size may be encoded ahead. If not, its caller leaves that to the writer, which
    /// encodes only what fits: waiting appends then cost no memory beyond the caller's own events.
    /// </summary>
    public bool HasRoomFor(int size)
    {
        long held = Volatile.Read(ref _encodedBytes);
        return held == 0 || held + size <= maxInFlightBytes;
    }

    /// <summary>Adds an append at the end. False: the queue is closed.</summary>
    public bool TryAdd(PendingAppend append)
    {
        bool wake;
        lock (_lock)
        {
            if (_closed)
            {
                return false;
            }

            if (_end - _oldest == _ring.Length)
            {
                Grow();
            }

            append.RequestId = ++_lastRequestId;
            this[_end++] = append;
            _undecided++;
            if (append.IsEncoded)
            {
                _encodedBytes += append.Size;
            }

            // Further back in the queue it is found by the writer that was woken for those before it. Not so behind what is decided
            // and still here: for that nobody is awake.
            wake = _end - _next == 1 || _undecided == 1;
        }

        if (wake)
        {
            Work.Set();
        }

        return true;
    }

    /// <summary>Takes the next appends to send, as many as the limits and <paramref name="into"/> allow.</summary>
    public int TakeUnsent(PendingAppend[] into, int maxBytes)
    {
        int count = 0;
        long bytes = 0;
        lock (_lock)
        {
            while (_next < _end && count < into.Length)
            {
                PendingAppend append = this[_next];
                if (append.Decided)
                {
                    _next++;
                    continue;
                }

                bool fits = _sentBytes == 0
                    || (_next - _oldest < maxInFlightAppends && _sentBytes + append.Size <= maxInFlightBytes);
                if (!fits || (count > 0 && bytes + append.Size > maxBytes))
                {
                    break;
                }

                append.SentNow = true;
                _sentBytes += append.Size;
                if (!append.IsEncoded)
                {
                    _encodedBytes += append.Size;
                }

                bytes += append.Size;
                into[count++] = append;
                _next++;
            }
        }

        return count;
    }

    /// <summary>
    /// What was taken has been copied into the call: from here on it may be answered, and its buffer given back.
    /// </summary>
    public void MarkWritten()
    {
        lock (_lock)
        {
            _written = _next;
        }
    }

    /// <summary>
    /// Takes the append that an answer is for. Answers come in the order of sending, so it is the oldest one; null:
    /// an answer that was given before.
    /// </summary>
    /// <param name="requestId">The answer's request id.</param>
    /// <param name="wasWaiting">False: the caller was told something else before, such as a time-out.</param>
    /// <exception cref="VaultException">The answer is for an append that is not the oldest one.</exception>
    public PendingAppend? Answered(ulong requestId, out bool wasWaiting)
    {
        wasWaiting = false;
        lock (_lock)
        {
            while (_oldest < _written && !this[_oldest].SentNow)
            {
                Remove();
            }

            ulong oldest = _oldest < _end ? this[_oldest].RequestId : _lastRequestId + 1;
            if (requestId < oldest)
            {
                return null;
            }

            if (requestId > oldest || _oldest >= _written)
            {
                throw VaultErrors.ProtocolViolation($"request {requestId} was answered, due was request {oldest}");
            }

            PendingAppend append = this[_oldest];
            Remove();
            wasWaiting = Decide(append);
            return append;
        }
    }

    /// <summary>
    /// After a call has ended: what it left unanswered is to be sent again, from the oldest on. Its sender and its
    /// reader must both have stopped.
    /// </summary>
    /// <param name="refusedFrom">This request and all after it were definitely not done; null: that is not known of any.</param>
    /// <param name="giveUpAt">When the retry policy gives up those that have now failed for the first time.</param>
    /// <param name="refused">This one was definitely not done, whatever became of others; null: none.</param>
    public void Rewind(ulong? refusedFrom, long giveUpAt, ulong? refused = null)
    {
        lock (_lock)
        {
            long kept = _oldest;
            for (long i = _oldest; i < _end; i++)
            {
                PendingAppend append = this[i];
                if (append.SentNow)
                {
                    append.MayBeWritten |= append.RequestId < (refusedFrom ?? ulong.MaxValue) && append.RequestId != refused;
                    append.SentNow = false;
                }

                if (append.Decided)
                {
                    _encodedBytes -= append.Release();
                    continue;
                }

                if (!append.HasFailedOnce)
                {
                    append.HasFailedOnce = true;
                    append.EndsAt = Math.Min(append.EndsAt, giveUpAt);
                }

                this[kept++] = append;
            }

            ClearFrom(kept);
            _next = _oldest;
            _written = _oldest;
            _sentBytes = 0;
        }
    }

    /// <summary>Decides all appends whose waiting has ended; the caller gives each of them its failure.</summary>
    public void TakeExpired(long now, List<PendingAppend> expired)
    {
        lock (_lock)
        {
            long kept = _next;
            for (long i = _oldest; i < _end; i++)
            {
                PendingAppend append = this[i];
                if (!append.Decided && append.EndsAt <= now)
                {
                    Decide(append);
                    append.MayBeWritten |= append.SentNow;
                    expired.Add(append);
                }

                if (i < _next)
                {
                    continue;
                }

                // What was never sent has no answer to wait for and leaves the queue at once.
                if (append.Decided)
                {
                    _encodedBytes -= append.Release();
                }
                else
                {
                    this[kept++] = append;
                }
            }

            ClearFrom(kept);
        }
    }

    /// <summary>Decides one append that is still in the queue, for a failure that is its own. False: it was decided before.</summary>
    public bool TryDecide(PendingAppend append)
    {
        lock (_lock)
        {
            return Decide(append);
        }
    }

    /// <summary>As <see cref="TryDecide"/>, for an append that was taken to be sent but can't be: no answer will come.</summary>
    public bool TryWithdraw(PendingAppend append)
    {
        lock (_lock)
        {
            append.SentNow = false;
            _sentBytes -= append.Size;
            _encodedBytes -= append.Size;
            return Decide(append);
        }
    }

    /// <summary>Lists the appends that are not decided.</summary>
    /// <param name="sentOnly">Only those that were sent over the call which is open or has just ended.</param>
    public List<PendingAppend> Undecideds(bool sentOnly)
    {
        var undecided = new List<PendingAppend>();
        lock (_lock)
        {
            for (long i = _oldest; i < (sentOnly ? _next : _end); i++)
            {
                if (this[i] is { Decided: false } append && (append.SentNow || !sentOnly))
                {
                    undecided.Add(append);
                }
            }
        }

        return undecided;
    }

    /// <summary>Takes no more appends.</summary>
    /// <returns>Completes when every append is decided.</returns>
    public Task CloseAsync()
    {
        Task emptied;
        lock (_lock)
        {
            _closed = true;
            _emptied ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            emptied = _emptied.Task;
            if (_undecided == 0)
            {
                _emptied.TrySetResult();
            }
        }

        Work.Set();
        return emptied;
    }

    private PendingAppend this[long place]
    {
        get => _ring[place & (_ring.Length - 1)];
        set => _ring[place & (_ring.Length - 1)] = value;
    }

    private bool Decide(PendingAppend append)
    {
        if (append.Decided)
        {
            return false;
        }

        append.Decided = true;
        if (--_undecided == 0)
        {
            _emptied?.TrySetResult();
        }

        return true;
    }

    private void Remove()
    {
        PendingAppend append = this[_oldest];
        if (append.SentNow)
        {
            _sentBytes -= append.Size;
        }

        _encodedBytes -= append.Release();
        this[_oldest++] = null!;
        if (_next < _end)
        {
            // The sender may have stopped at a limit.
            Work.Set();
        }
    }

    private void ClearFrom(long kept)
    {
        for (long i = kept; i < _end; i++)
        {
            this[i] = null!;
        }

        _end = kept;
    }

    private void Grow()
    {
        var larger = new PendingAppend[_ring.Length * 2];
        for (long i = _oldest; i < _end; i++)
        {
            larger[i & (larger.Length - 1)] = this[i];
        }

        _ring = larger;
    }
}
