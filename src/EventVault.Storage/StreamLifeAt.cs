namespace EventVault.Storage;

/// <summary>
/// The life of a stream at a position, by all that is known now. A deletion or tombstone ends a life; what is written then is another one.
/// A truncation ends nothing: it takes the first versions of a life away, also for positions before it.
/// </summary>
/// <param name="First">
/// First version of the life; behind the stream's last one at the position if nothing was written since the deletion before it.
/// </param>
/// <param name="EndedAt">Position of the deletion or tombstone behind the position that ended it; <see cref="Position.None"/>: it goes on.</param>
/// <param name="FirstKept">First version that no truncation took; <paramref name="First"/> at least, and one behind the last version of the life at most.</param>
/// <param name="IsScavenged">It has ended, and a scavenge was started since: its events are gone, or will be at any time.</param>
/// <param name="IsTombstoned">The stream is, now.</param>
public readonly record struct StreamLifeAt(StreamVersion First, Position EndedAt, StreamVersion FirstKept, bool IsScavenged, bool IsTombstoned)
{
    /// <summary>Of a stream that was never deleted or truncated, or that does not exist.</summary>
    public static StreamLifeAt Whole => new(new StreamVersion(0), Position.None, new StreamVersion(0), IsScavenged: false, IsTombstoned: false);
}
