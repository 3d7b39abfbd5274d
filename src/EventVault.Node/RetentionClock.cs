// The time by which events are too old. A clock that jumps ahead would take events away for ever, so it is believed only as far
// as something else confirms it: the newest event, when the node started, and from then on the machine's monotonic clock. A clock
// that is further ahead is not believed until it has run steadily for a while, which is time to notice the warning and to set it right.
// A clock that is behind keeps events longer, and is believed.
//
// The newest event was recorded by this same clock, which may have been wrong then already: it confirms something only if the
// times before it are steady (LogTimes).
using EventVault.Storage;
using EventVault.Storage.Index;
using Position = EventVault.Storage.Position;

namespace EventVault.Node;

/// <summary>Tells the time, or that it can't be trusted now. One thread.</summary>
internal sealed class RetentionClock
{
    /// <summary>A clock that is ahead by less is believed: nobody keeps events to the hour, and clocks are set.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromHours(1);

    /// <summary>How long a clock that is ahead must have run steadily until it is believed.</summary>
    public static readonly TimeSpan Confirmation = TimeSpan.FromHours(1);

    private readonly TimeProvider _clock;
    private bool _isConfirmed; // What is known. False: the log's newest time alone, behind a step.
    private Reading _known;
    private Reading? _suspected;

    /// <param name="clock">The clock.</param>
    /// <param name="log">What the log says of the time, from before anything is recorded by this clock; null: it has no events, and there
    /// is nothing to lose.</param>
    public RetentionClock(TimeProvider clock, LogTimes? log)
    {
        _clock = clock;
        _known = log is { } times ? Read() with { Time = times.Newest } : Read();
        _isConfirmed = log is not { IsSteady: false };
    }

    /// <summary>How far the clock is ahead of what is known, or of what the log says that can't be trusted; null while it is believed.</summary>
    public TimeSpan? Ahead { get; private set; }

    /// <summary>The time, 100 ns ticks since 1970; null: it can't be trusted now.</summary>
    public long? Now()
    {
        var now = Read();
        var ahead = TimeSpan.FromTicks(now.Time - Expected(_known, now));
        if ((ahead > Tolerance || !_isConfirmed) && !HasRunSteadily(now))
        {
            Ahead = ahead;
            return null;
        }

        _known = now;
        _suspected = null;
        _isConfirmed = true;
        Ahead = null;
        return now.Time;
    }

    private bool HasRunSteadily(in Reading now)
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

/// <summary>What the times recorded in a log tell about a clock.</summary>
/// <param name="Newest">The newest one, 100 ns ticks since 1970.</param>
/// <param name="IsSteady">
/// Whether there is no step of more than <see cref="RetentionClock.Tolerance"/> onto the newest event nor anywhere in the
/// <see cref="RetentionClock.Confirmation"/> before it. Behind such a step the clock may have been set wrong, and what it recorded since
/// says nothing more than it does.
/// </param>
internal readonly record struct LogTimes(long Newest, bool IsSteady)
{
    /// <summary>Those of a vault; null: it has no events.</summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    /// <exception cref="IndexDamageException">An index is.</exception>
    public static LogTimes? Of(EventReader reader)
    {
        var head = reader.Head;
        if (head == Position.None)
        {
            return null;
        }

        // Times never fall, and the hour is no longer than the step that is tolerated: only the step into the hour can be too long.
        Invariant.Check(RetentionClock.Confirmation <= RetentionClock.Tolerance);
        var newest = reader.RecordedAt(head);
        var first = reader.FirstAtOrAfter(newest - RetentionClock.Confirmation.Ticks);
        Invariant.Check(first <= head);
        var isSteady = first == new Position(0) || reader.RecordedAt(first) - reader.RecordedAt(first + -1) <= RetentionClock.Tolerance.Ticks;
        return new LogTimes(newest, isSteady);
    }
}
