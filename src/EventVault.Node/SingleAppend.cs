using System.Buffers;
using System.Numerics;
using System.Threading.Tasks.Sources;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>
/// One append that one caller waits for. Reusable: after each completed wait it can be filled again, and then nothing
/// is allocated for an append. For one caller at a time.
/// </summary>
/// <param name="storage">Where the append goes.</param>
/// <param name="mostInline">
/// Of how many callers of a group, if their appends were written, go on on the thread that completes it, one after the other: each cheaper by a
/// thread-pool item, and only for callers that do next to nothing there. Others go on wherever there is a thread.
/// </param>
internal sealed class SingleAppend(VaultStorage storage, int mostInline = 0) : QueuedAppend(new AppendContent(storage)), IValueTaskSource<AppendOutcome>
{
    /// <summary>Bytes for requests that are kept from one append to the next; larger ones go with theirs.</summary>
    private const int KeptBytes = 4096;

    private ManualResetValueTaskSourceCore<AppendOutcome> _source;
    private byte[] _bytes = [];

    /// <summary>Takes back what an earlier append left. Then the content is filled, and the append queued.</summary>
    public void Reset()
    {
        _source.Reset();
        Outcome = AppendOutcome.None;
        Deadline = long.MaxValue;
        Client = null;
        Arrived = 0;
    }

    /// <summary>Copies a request to where it stays until the append is decided.</summary>
    /// <returns>Begins with it.</returns>
    public byte[] Copy(in ReadOnlySequence<byte> request)
    {
        // Of its own: the shared pool keeps fewer of a size than there are calls in flight.
        var bytes = _bytes.Length >= request.Length ? _bytes : new byte[Math.Max(512, BitOperations.RoundUpToPowerOf2((uint)request.Length))];
        _bytes = bytes.Length <= KeptBytes ? bytes : [];
        request.CopyTo(bytes);
        return bytes;
    }

    /// <summary>Ends with the outcome. Await it once.</summary>
    public ValueTask<AppendOutcome> WaitAsync() => new(this, _source.Version);

    public override void Complete()
    {
        // Any other outcome may take a look at the disk to be answered: nobody else's answer waits for that.
        _source.RunContinuationsAsynchronously = CompletedBefore >= mostInline || Outcome != AppendOutcome.Appended;
        _source.SetResult(Outcome);
    }

    AppendOutcome IValueTaskSource<AppendOutcome>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<AppendOutcome>.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource<AppendOutcome>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
