namespace EventVault.Node.Services;

/// <summary>
/// Shares out the memory of pages that wait for their clients: the more reads and subscriptions are open, the smaller their
/// pages. Thread-safe.
/// </summary>
/// <param name="clock">Tells how long a client takes.</param>
internal sealed class PageShare(TimeProvider clock)
{
    /// <summary>
    /// Bytes of all pages together, as long as no page is less than <see cref="LeastBytes"/>: enough for 2,048 full ones. A page
    /// goes over its share by its last event.
    /// </summary>
    public const long SharedBytes = 128L * 1024 * 1024;

    /// <summary>Bytes of the smallest page: below that, what a call takes beside its page is more.</summary>
    public const int LeastBytes = 4 * 1024;

    private long _open;

    /// <summary>Memory for pages of larger events.</summary>
    public LargePages Large { get; } = new(clock);

    /// <summary>A page is full from so many bytes on.</summary>
    public int FullBytes => (int)Math.Clamp(SharedBytes / Math.Max(1, Volatile.Read(ref _open)), LeastBytes, EventPage.MostBytes);

    /// <summary>A call that writes pages begins.</summary>
    public void Enter() => Interlocked.Increment(ref _open);

    /// <summary>It has ended.</summary>
    public void Leave() => Interlocked.Decrement(ref _open);
}
