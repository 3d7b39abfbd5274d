using System.Runtime.CompilerServices;

namespace EventVault.Client;

/// <summary>
/// A read: enumerate it once. It is sent when its head or its first event is asked for, and the node sends ahead
/// no further than <see cref="VaultClientOptions.StreamWindowBytes"/>. A lost connection is made good unseen: the read
/// goes on behind the last delivered event and ends where it would have ended.
/// </summary>
/// <remarks>
/// For one consumer at a time. Enumerating throws <see cref="StreamNotFoundException"/>, or <see cref="VaultException"/>
/// once the <see cref="RetryPolicy"/> gives up. Dispose it if it is not enumerated to its end.
/// </remarks>
public sealed class ReadResult : IAsyncEnumerable<RecordedEvent>, IAsyncDisposable
{
    private readonly PageReader _reader;

    internal ReadResult(PageReader reader) => _reader = reader;

    /// <summary>
    /// What the read is based on, fixed before its first event is produced. Sends the read if that was not done yet.
    /// </summary>
    /// <exception cref="VaultException">The read failed.</exception>
    public Task<ReadHead> GetHeadAsync() => _reader.OpenAsync().AsTask();

    /// <summary>
    /// The events page by page, without building objects. A page and its events are valid until the next page is
    /// asked for. Instead of, not beside, enumerating the events.
    /// </summary>
    /// <param name="cancellationToken">Ends the read.</param>
    public IAsyncEnumerable<EventPage> PagesAsync(CancellationToken cancellationToken = default) => _reader.PagesAsync(cancellationToken);

    /// <summary>The events one by one.</summary>
    /// <param name="cancellationToken">Ends the read.</param>
    public IAsyncEnumerator<RecordedEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        EventsAsync(CancellationToken.None).GetAsyncEnumerator(cancellationToken);

    /// <summary>Ends the read, also while it is enumerated, there or on another thread: that throws at its next event or page.</summary>
    public ValueTask DisposeAsync() => _reader.DisposeAsync();

    private async IAsyncEnumerable<RecordedEvent> EventsAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (EventPage page in _reader.PagesAsync(cancellation).ConfigureAwait(false))
        {
            for (int i = 0; i < page.Count; i++)
            {
                _reader.ThrowIfStopped();
                yield return page[i].ToEvent();
            }
        }
    }
}
