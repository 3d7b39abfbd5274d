using System.Buffers;
using System.Diagnostics;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>One append of a session, from its request to its answer. Reused by the session that made it.</summary>
internal sealed class SessionAppend(AppendSession session, VaultStorage storage) : QueuedAppend(new AppendContent(storage))
{
    private volatile bool _decided;

    /// <summary>The client's own number for it.</summary>
    public ulong RequestId { get; set; }

    /// <summary>Holds the bytes of the request.</summary>
    public RequestBytes? Request { get; set; }

    /// <summary>Why it was refused before it was queued.</summary>
    public Refusal? Refusal { get; set; }

    /// <summary>Whether the session ends with its refusal.</summary>
    public bool EndsSession { get; set; }

    /// <summary>Whether it can be answered.</summary>
    public bool IsDecided => _decided;

    public override bool IsRefusedByEarlier => session.IsRefusing;

    public void Begin(ulong requestId, RequestBytes request)
    {
        RequestId = requestId;
        Request = request;
        Refusal = null;
        Outcome = AppendOutcome.None;
        Trace = null;
        _decided = false;
    }

    /// <summary>Decides it without queueing.</summary>
    public void Decide(AppendOutcome outcome)
    {
        Outcome = outcome;
        _decided = true;
    }

    /// <summary>The trace that it belongs to; null: none, or nobody listens.</summary>
    public ActivityContext? Trace { get; set; }

    /// <summary>When it was decided; only of one with a trace.</summary>
    public DateTimeOffset DecidedAt { get; private set; }

    public override void OnRefused() => session.BeginRefusing();

    public override void Complete()
    {
        if (Trace is not null)
        {
            DecidedAt = DateTimeOffset.UtcNow;
        }

        _decided = true;
    }

    public override void Announce() => session.OnDecided();
}

/// <summary>
/// Requests of one session, copied once out of the connection's buffers. Each append among them is a user; the last one
/// to go gives the bytes back.
/// </summary>
internal sealed class RequestBytes(int capacity)
{
    /// <summary>Holds what a read usually brings; one larger request gets bytes of its own.</summary>
    public const int UsualBytes = 64 * 1024;

    private int _users = 1;

    public byte[] Bytes { get; } = ArrayPool<byte>.Shared.Rent(Math.Max(capacity, UsualBytes));

    public int Used { get; private set; }

    /// <summary>Whether a request fits. With no user left but the session itself, it begins at the front again.</summary>
    public bool HasRoomFor(long length)
    {
        if (Volatile.Read(ref _users) == 1)
        {
            Used = 0;
        }

        return Bytes.Length - Used >= length;
    }

    /// <summary>Copies a request in, for one more user; returns where it begins.</summary>
    public int Add(in ReadOnlySequence<byte> request)
    {
        var offset = Used;
        request.CopyTo(Bytes.AsSpan(offset));
        Used += (int)request.Length;
        Interlocked.Increment(ref _users);
        return offset;
    }

    public void Release()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            ArrayPool<byte>.Shared.Return(Bytes);
        }
    }
}
