using System.Threading.Tasks.Sources;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>
/// One append that one caller waits for. Reusable: after each completed wait it can be filled again, and then nothing
/// is allocated for an append. For one caller at a time.
/// </summary>
/// <param name="storage">Where the append goes.</param>
/// <param name="continueInline">
/// Whether the caller goes on on the thread that completes the group, before the group's other callers: cheaper by a
/// thread-pool item, and only for callers that do next to nothing there.
/// </param>
internal sealed class SingleAppend(VaultStorage storage, bool continueInline = false) : QueuedAppend(new AppendContent(storage)), IValueTaskSource<AppendOutcome>
{
    private ManualResetValueTaskSourceCore<AppendOutcome> _source = new() { RunContinuationsAsynchronously = !continueInline };

    /// <summary>Takes back what an earlier append left. Then the content is filled, and the append queued.</summary>
    public void Reset()
    {
        _source.Reset();
        Outcome = AppendOutcome.None;
        Deadline = long.MaxValue;
        Client = null;
        Arrived = 0;
    }

    /// <summary>Ends with the outcome. Await it once.</summary>
    public ValueTask<AppendOutcome> WaitAsync() => new(this, _source.Version);

    public override void Complete() => _source.SetResult(Outcome);

    AppendOutcome IValueTaskSource<AppendOutcome>.GetResult(short token) => _source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<AppendOutcome>.GetStatus(short token) => _source.GetStatus(token);

    void IValueTaskSource<AppendOutcome>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}
