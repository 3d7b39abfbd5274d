using System.Runtime.CompilerServices;

namespace EventVault.Client;

/// <summary>
/// A read that continues as events commit: every event once, in order, from the start that was asked for on, without
/// a seam between past and present. Enumerate it once; it ends only when it is cancelled or fails for good.
/// </summary>
/// <remarks>
/// For one consumer at a time; a slow one slows nobody else. After a lost connection it goes on behind what it has
/// delivered. <see cref="SubscriptionMessageKind.CaughtUp"/> may then come again.
/// </remarks>
public sealed class Subscription : IAsyncEnumerable<SubscriptionMessage>, IAsyncDisposable
{
    private readonly PageReader _reader;

    internal Subscription(PageReader reader) => _reader = reader;

    /// <summary>
    /// The state at the moment the subscription was established. Establishes it if that was not done yet: what is
    /// appended after this returns is delivered, also with <see cref="SubscribeOptions.FromEnd"/>: then delivery begins right behind
    /// its <see cref="ReadHead.LastPosition"/>, which is never before what this client had seen when it asked.
    /// </summary>
    /// <exception cref="VaultException">It could not be established.</exception>
    public Task<ReadHead> GetHeadAsync() => _reader.OpenAsync().AsTask();

    /// <summary>
    /// Events page by page, without building objects, and word of progress in between. A page and its events are
    /// valid until the next page is asked for. Instead of, not beside, enumerating the messages.
    /// </summary>
    /// <param name="cancellationToken">Ends the subscription.</param>
    public IAsyncEnumerable<EventPage> PagesAsync(CancellationToken cancellationToken = default) => _reader.PagesAsync(cancellationToken);

    /// <summary>Only the events. Instead of, not beside, enumerating the messages.</summary>
    /// <param name="cancellationToken">Ends the subscription.</param>
    public async IAsyncEnumerable<RecordedEvent> EventsAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (EventPage page in _reader.PagesAsync(cancellationToken).ConfigureAwait(false))
        {
            for (int i = 0; i < page.Count; i++)
            {
                _reader.ThrowIfStopped();
                RecordedEvent recorded = page[i].ToEvent();
                VaultTracing.Received(recorded);
                yield return recorded;
            }
        }
    }

    /// <summary>Events and word of progress, one by one.</summary>
    /// <param name="cancellationToken">Ends the subscription.</param>
    public IAsyncEnumerator<SubscriptionMessage> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        MessagesAsync(CancellationToken.None).GetAsyncEnumerator(cancellationToken);

    /// <summary>Ends the subscription, also while it is enumerated, there or on another thread: that throws at its next event or page.</summary>
    public ValueTask DisposeAsync() => _reader.DisposeAsync();

    private async IAsyncEnumerable<SubscriptionMessage> MessagesAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (EventPage page in _reader.PagesAsync(cancellation).ConfigureAwait(false))
        {
            if (page.Kind != SubscriptionMessageKind.Event)
            {
                yield return new SubscriptionMessage(page.Kind, null, page.Position, page.Time);
                continue;
            }

            for (int i = 0; i < page.Count; i++)
            {
                _reader.ThrowIfStopped();
                RecordedEvent e = page[i].ToEvent();
                VaultTracing.Received(e);
                yield return new SubscriptionMessage(SubscriptionMessageKind.Event, e, e.Position, e.RecordedAt);
            }
        }
    }
}
