using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.History;

/// <summary>
/// Appends the batches of a history, many in flight, in the order of the file: one session keeps the order, a lost
/// connection included.
/// </summary>
/// <remarks>
/// No append has a time-out of its own: one that expired alone, just before the node came back, would be overtaken by
/// those behind it. The import as a whole gives up instead, when nothing at all is answered for a while.
/// </remarks>
internal sealed class Importer(VaultClient client)
{
    /// <summary>For the client of an import: see the remarks.</summary>
    public static readonly RetryPolicy Retry = new() { GiveUpAfter = Timeout.InfiniteTimeSpan, MaxDelay = TimeSpan.FromSeconds(1) };

    // Enough to keep the node's groups full; less than the client's own bounds, so that reading the file waits, not memory.
    private const int MaxInFlightAppends = 1024;
    private const long MaxInFlightBytes = 24L << 20;

    private static readonly TimeSpan StallLimit = TimeSpan.FromSeconds(10);

    private readonly Queue<(HistoryBatch Batch, Task<AppendResult> Answer)> _inFlight = new();
    private readonly ImportFigures _done = new();
    private long _bytesInFlight;

    /// <summary>Imports everything.</summary>
    /// <param name="history">The history.</param>
    /// <param name="progress">Called now and then.</param>
    /// <param name="stop">Stops the import; what is in flight may still be written.</param>
    /// <exception cref="ImportException">It stopped on its way.</exception>
    public async Task<ImportFigures> RunAsync(HistoryReader history, Action progress, CancellationToken stop)
    {
        try
        {
            await foreach (var batch in history.BatchesAsync(stop))
            {
                while (_inFlight.Count >= MaxInFlightAppends || (_bytesInFlight > 0 && _bytesInFlight + batch.Bytes > MaxInFlightBytes))
                {
                    await SettleOldestAsync(stop);
                    progress();
                }

                var answer = client.AppendAsync(
                    batch.Streams, new AppendOptions { OperationId = batch.OperationId(), Timeout = Timeout.InfiniteTimeSpan }, CancellationToken.None);
                _inFlight.Enqueue((batch, answer));
                _bytesInFlight += batch.Bytes;
                if (answer.IsFaulted)
                {
                    // The client refused to send it. Nothing behind it may be written before it.
                    break;
                }
            }

            await SettleAllAsync(progress, stop);
            return _done;
        }
        catch (HistoryException e)
        {
            await SettleAllAsync(progress, stop);
            throw new ImportException(e.Message, e, _done, e.Line, e.Field);
        }
        catch (OperationCanceledException e)
        {
            throw new ImportException("Interrupted.", e, _done, null, null);
        }
    }

    private async Task SettleAllAsync(Action progress, CancellationToken stop)
    {
        while (_inFlight.Count > 0)
        {
            await SettleOldestAsync(stop);
            progress();
        }
    }

    private async Task SettleOldestAsync(CancellationToken stop)
    {
        var (batch, answer) = _inFlight.Peek();
        try
        {
            var result = await answer.WaitAsync(StallLimit, stop);
            _done.Appends++;
            _done.Events += batch.EventCount;
            _done.Deduplicated += result.Deduplicated ? 1 : 0;
            _done.LastPosition = Math.Max(_done.LastPosition ?? 0, result.LastPosition);
        }
        catch (TimeoutException)
        {
            var failure = new VaultException(
                VaultErrorCode.Unreachable,
                string.Create(CultureInfo.InvariantCulture, $"The node has answered nothing for {StallLimit.TotalSeconds} s: it is down, or can't be reached."));
            throw new ImportException(failure.Message, failure, _done, null, null);
        }
        catch (VaultException e)
        {
            var detail = e.Failures.Count > 0 ? e.Failures[0] : null;
            var line = detail is null ? null : batch.LineOf(detail);
            var where = line is not null || batch.FirstLine == batch.LastLine ? $"Line {line ?? batch.FirstLine}" : $"Lines {batch.FirstLine} to {batch.LastLine}";
            throw new ImportException($"{where}, batch {batch.Number}: {e.Message}", e, _done, line ?? batch.FirstLine, detail?.Field);
        }

        _inFlight.Dequeue();
        _bytesInFlight -= batch.Bytes;
    }
}
