using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// Has the vault keep a fold's states on the way: after at least 1,024 events, and so many that their bytes are four times the
/// state's. So what is read again stays short, and what is kept small beside the events.
/// </summary>
internal sealed class FoldKeeper<TState>(VaultCalls calls, Fold<TState> fold, string stream)
{
    private const long EventsBetween = 1024;
    private const long BytesBetween = 4;

    /// <summary>The contract's limit, <c>state_bytes</c>.</summary>
    private const int MostStateBytes = 1 << 20;

    private long _events;
    private long _eventBytes;
    private long _stateBytes;
    private bool _gaveUp;

    /// <summary>An event was folded.</summary>
    /// <param name="bytes">What it takes.</param>
    public void Folded(int bytes)
    {
        _events++;
        _eventBytes += bytes;
    }

    /// <summary>The fold goes on from a kept state.</summary>
    /// <param name="bytes">What that takes.</param>
    public void Restored(int bytes) => (_events, _eventBytes, _stateBytes) = (0, 0, bytes);

    /// <summary>Keeps the state, if it is time. That it can't be kept is no failure: it is there for speed alone.</summary>
    /// <param name="state">The state.</param>
    /// <param name="first">The first version that went into it.</param>
    /// <param name="next">The first one that did not.</param>
    /// <param name="cancellation">Cancels the call.</param>
    public async ValueTask KeepAsync(TState state, ulong first, ulong next, CancellationToken cancellation)
    {
        if (_gaveUp || _events < EventsBetween || _eventBytes < BytesBetween * _stateBytes)
        {
            return;
        }

        byte[] saved = fold.Save(state);
        _stateBytes = saved.Length;
        if (_eventBytes < BytesBetween * _stateBytes)
        {
            return;
        }

        var request = new Protocol.PutFoldSnapshotRequest
        {
            Stream = stream,
            Fold = fold.WireName,
            FirstVersion = first,
            Version = next - 1,
            State = UnsafeByteOperations.UnsafeWrap(saved),
        };
        _gaveUp = saved.Length > MostStateBytes || await calls.TryOnceAsync(VaultMethods.PutFoldSnapshot, request, cancellation).ConfigureAwait(false) is null;
        (_events, _eventBytes) = (0, 0);
    }
}
