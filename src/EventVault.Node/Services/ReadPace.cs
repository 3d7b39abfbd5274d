// A read that finds little looks at much, and neither of that waits for anything: without care its client hears nothing for
// seconds, and its thread is missing where completed appends are answered.
using EventVault.Rpc.Server;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>
/// When a call that reads sends what it has, when it gives its thread back, and which memory its page takes until the client
/// has taken it. For one call; dispose it at its end.
/// </summary>
/// <param name="writer">Where the call writes.</param>
/// <param name="context">The call.</param>
/// <param name="pages">Tells how much may be written before it is sent.</param>
/// <param name="clock">Tells how long ago something was sent.</param>
/// <param name="interval">What is written waits no longer than this for more.</param>
internal sealed class ReadPace(RpcFrameWriter writer, RpcContext context, PageShare pages, TimeProvider clock, TimeSpan interval) : IDisposable
{
    private long _lastSent = clock.GetTimestamp();
    private LargePages.Part? _held;

    /// <summary>Whether the client has been sent nothing for an interval.</summary>
    public bool IsDue => clock.GetElapsedTime(_lastSent) >= interval;

    /// <summary>Reads the next page and writes it; what is damaged ends the call after the events before it.</summary>
    public ValueTask WritePageAsync(EventRange range, EventPage page)
    {
        var (next, remaining) = (range.Next, page.Remaining);
        try
        {
            range.ReadInto(page);
        }
        catch
        {
            Write(page);
            throw;
        }

        if (!MayWrite(page))
        {
            return WriteLargeAsync(range, page, next, remaining);
        }

        Write(page);
        return ValueTask.CompletedTask;
    }

    /// <summary>Writes a message of its own, and sends what is written if it is much, or due; others get the thread in any case.</summary>
    public async ValueTask WriteAsync(IMessage message)
    {
        var bytes = message.ToByteArray();
        if (bytes.Length > pages.FullBytes + EventPage.RoomBytes && _held is null)
        {
            await HoldAsync(bytes.Length);
        }

        writer.WriteFrame(bytes);
        await GetOnAsync();
    }

    /// <summary>Sends what is written.</summary>
    public async ValueTask FlushAsync()
    {
        await writer.FlushAsync();
        _lastSent = clock.GetTimestamp();
        Dispose();
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

    /// <summary>Gives back the memory of a large page.</summary>
    public void Dispose()
    {
        if (_held is { } held)
        {
            _held = null;
            pages.Large.GiveBack(held);
        }
    }

    private bool MayWrite(EventPage page)
    {
        if (!page.IsEmpty && page.IsLarge && _held is null)
        {
            _held = pages.Large.TryTake(page.Length, context.Connection, context.CutShort);
            return _held is not null;
        }

        return true;
    }

    // Others hold what such pages may take. This one is given up, and read again when it is its turn: it must not wait in memory.
    private async ValueTask WriteLargeAsync(EventRange range, EventPage page, long next, long remaining)
    {
        var length = page.Length;
        page.Clear();
        page.Remaining = remaining;
        range.Next = next;
        await HoldAsync(length);
        try
        {
            range.ReadInto(page);
        }
        finally
        {
            Write(page);
        }
    }

    // Waits for the memory of something large, with nothing of it written.
    private async ValueTask HoldAsync(int length)
    {
        if (writer.UnflushedBytes > 0)
        {
            await FlushAsync();
        }

        using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, context.Draining);
        try
        {
            _held = await pages.Large.TakeAsync(length, context.Connection, context.CutShort, ends.Token);
        }
        catch (OperationCanceledException) when (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the read was cut short").ToException();
        }
    }

    private void Write(EventPage page)
    {
        if (!page.IsEmpty)
        {
            writer.WriteFrame(page.Encode());
            page.Figures?.Add(page.Count, page.Length);
            page.Clear();
        }
    }
}
