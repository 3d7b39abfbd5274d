// A read that finds little looks at much, and neither of that waits for anything: without care its client hears nothing for
// seconds, and its thread is missing where completed appends are answered.
using EventVault.Protocol;
using EventVault.Rpc.Server;

namespace EventVault.Node.Services;

/// <summary>When a call that reads sends what it has, and when it gives its thread back. For one call.</summary>
/// <param name="writer">Where the call writes.</param>
/// <param name="pages">Tells how much may be written before it is sent.</param>
/// <param name="clock">Tells how long ago something was sent.</param>
/// <param name="interval">What is written waits no longer than this for more.</param>
internal sealed class ReadPace(RpcWriter<ReadResponse> writer, PageShare pages, TimeProvider clock, TimeSpan interval)
{
    private long _lastSent = clock.GetTimestamp();

    /// <summary>Whether the client has been sent nothing for an interval.</summary>
    public bool IsDue => clock.GetElapsedTime(_lastSent) >= interval;

    /// <summary>Sends what is written.</summary>
    public async ValueTask FlushAsync()
    {
        await writer.FlushAsync();
        _lastSent = clock.GetTimestamp();
    }

    /// <summary>Between two looks: sends what is written if it is much, or due; others get the thread in any case.</summary>
    public ValueTask GetOnAsync() =>
        GiveWayAsync(writer.WantsFlush || writer.UnflushedBytes >= pages.FullBytes || (writer.UnflushedBytes > 0 && IsDue) ? FlushAsync() : ValueTask.CompletedTask);

    /// <summary>Waits for a flush; if there is nothing to wait for, goes on behind what else wants the thread.</summary>
    internal static async ValueTask GiveWayAsync(ValueTask flush)
    {
        var waits = !flush.IsCompleted;
        await flush;
        if (!waits)
        {
            await Task.Yield();
        }
    }
}
