// Memory for pages that a large event made larger than their share, while their clients have not taken them: of all reads and
// subscriptions together, in the order in which they ask. A client that takes nothing would keep its part for ever, and others
// from theirs: while somebody waits, whoever has held a part for long loses its call, and its client goes on from where it is.
namespace EventVault.Node.Services;

/// <summary>Bounds pages of large events. Thread-safe.</summary>
internal sealed class LargePages(TimeProvider clock)
{
    /// <summary>Bytes of all such pages. One alone may be larger.</summary>
    public const long MostBytes = 128L * 1024 * 1024;

    /// <summary>Who holds memory that others wait for may take this long to send it: 64 KiB of it at 6 KiB/s.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly LinkedList<Part> _held = new(); // In the order in which they were given.
    private readonly LinkedList<Part> _waiting = new();
    private long _heldBytes;

    /// <summary>Bytes that are held.</summary>
    public long HeldBytes
    {
        get
        {
            lock (_lock)
            {
                return _heldBytes;
            }
        }
    }

    /// <summary>Takes memory for a page at once; null if others wait or there is none.</summary>
    /// <param name="bytes">Of the page.</param>
    /// <param name="cut">Ends the call of the page; from any thread.</param>
    public Part? TryTake(int bytes, Action cut)
    {
        lock (_lock)
        {
            if (_waiting.Count > 0 || !HasRoomFor(bytes))
            {
                return null;
            }

            var part = new Part(bytes, cut);
            Give(part);
            return part;
        }
    }

    /// <summary>Waits for memory for a page.</summary>
    /// <param name="bytes">Of the page.</param>
    /// <param name="cut">Ends the call of the page; from any thread.</param>
    /// <param name="cancellation">Of the call.</param>
    /// <exception cref="OperationCanceledException">The call has ended meanwhile.</exception>
    public async ValueTask<Part> TakeAsync(int bytes, Action cut, CancellationToken cancellation)
    {
        var part = new Part(bytes, cut);
        lock (_lock)
        {
            if (_waiting.Count == 0 && HasRoomFor(bytes))
            {
                Give(part);
                return part;
            }

            _waiting.AddLast(part.Place);
        }

        try
        {
            await part.Given.Task.WaitAsync(cancellation);
            return part;
        }
        catch
        {
            GiveBack(part);
            throw;
        }
    }

    /// <summary>Gives a part back, or takes back that it was asked for.</summary>
    public void GiveBack(Part part)
    {
        var given = new List<Part>();
        lock (_lock)
        {
            if (part.Place.List == _waiting)
            {
                _waiting.Remove(part.Place);
            }
            else
            {
                _held.Remove(part.Place);
                _heldBytes -= part.Bytes;
            }

            Invariant.Check(_heldBytes >= 0 && (_held.Count > 0) == (_heldBytes > 0));
            while (_waiting.First is { Value: var next } && HasRoomFor(next.Bytes))
            {
                _waiting.Remove(next.Place);
                Give(next);
                given.Add(next);
            }
        }

        given.ForEach(static next => next.Given.TrySetResult());
    }

    /// <summary>Ends the calls that hold others up. Call it now and then.</summary>
    /// <returns>How many.</returns>
    public int CutSlow()
    {
        var slow = new List<Part>();
        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                return 0;
            }

            slow.AddRange(_held.TakeWhile(part => clock.GetElapsedTime(part.Since) >= Patience));
        }

        slow.ForEach(static part => part.Cut());
        return slow.Count;
    }

    private bool HasRoomFor(int bytes) => _heldBytes == 0 || _heldBytes + bytes <= MostBytes;

    private void Give(Part part)
    {
        part.Since = clock.GetTimestamp();
        _held.AddLast(part.Place);
        _heldBytes += part.Bytes;
    }

    /// <summary>The memory of one page.</summary>
    internal sealed class Part
    {
        public Part(int bytes, Action cut)
        {
            Bytes = bytes;
            Cut = cut;
            Place = new LinkedListNode<Part>(this);
        }

        public int Bytes { get; }

        public Action Cut { get; }

        public LinkedListNode<Part> Place { get; }

        public TaskCompletionSource Given { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public long Since { get; set; }
    }
}
