// The time by which events are too old. A clock that jumps ahead would take events away for ever, so it is believed only as far
// as something else confirms it: the newest event, when the node began to lead, and from then on the machine's monotonic
// clock. A clock that is further ahead is not believed until it has run steadily for a while, which is time to notice the warning and
// to set it right. A clock that is behind keeps events longer, and is believed.
namespace EventVault.Node;

/// <summary>Tells the time, or that it can't be trusted now. One thread.</summary>
internal sealed class RetentionClock
{
    /// <summary>A clock that is ahead by less is believed: nobody keeps events to the hour, and clocks are set.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromHours(1);

    /// <summary>How long a clock that is ahead must have run steadily until it is believed.</summary>
    public static readonly TimeSpan Confirmation = TimeSpan.FromHours(1);

    private readonly TimeProvider _clock;
    private Reading _known;
    private Reading? _suspected;

    /// <param name="clock">The clock.</param>
    /// <param name="newest">When the newest event was recorded, 100 ns ticks since 1970; null: there is none, and nothing to lose.</param>
    public RetentionClock(TimeProvider clock, long? newest)
    {
        _clock = clock;
        _known = newest is { } time ? Read() with { Time = time } : Read();
    }

    /// <summary>How far the clock is ahead of what is known; null while it is believed.</summary>
    public TimeSpan? Ahead { get; private set; }

    /// <summary>The time, 100 ns ticks since 1970; null: it can't be trusted now.</summary>
    public long? Now()
    {
        var now = Read();
        var ahead = TimeSpan.FromTicks(now.Time - Expected(_known, now));
        if (ahead > Tolerance && !IsConfirmed(now))
        {
            Ahead = ahead;
            return null;
        }

        _known = now;
        _suspected = null;
        Ahead = null;
        return now.Time;
    }

    private bool IsConfirmed(in Reading now)
    {
        if (_suspected is not { } suspected || Math.Abs(now.Time - Expected(suspected, now)) > Tolerance.Ticks)
        {
            _suspected = now; // It begins to be ahead, or jumped again.
            return false;
        }

        return _clock.GetElapsedTime(suspected.Stamp, now.Stamp) >= Confirmation;
    }

    private long Expected(in Reading then, in Reading now) => then.Time + _clock.GetElapsedTime(then.Stamp, now.Stamp).Ticks;

    private Reading Read() => new((_clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks, _clock.GetTimestamp());

    private readonly record struct Reading(long Time, long Stamp);
}
