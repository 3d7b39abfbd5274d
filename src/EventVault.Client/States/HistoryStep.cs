using System.Globalization;

namespace EventVault.Client;

/// <summary>At which places of its history a state is wanted. The default value is <see cref="EachChange"/>.</summary>
public readonly record struct HistoryStep
{
    private readonly ulong _events;
    private readonly TimeSpan _time;

    private HistoryStep(ulong events, TimeSpan time) => (_events, _time) = (events, time);

    /// <summary>Where it differs from the one before.</summary>
    public static HistoryStep EachChange => default;

    /// <summary>After every n-th event of the range, and after its last one.</summary>
    /// <param name="events">How many, at least 1.</param>
    public static HistoryStep Events(ulong events)
    {
        ArgumentOutOfRangeException.ThrowIfZero(events);
        return new HistoryStep(events, default);
    }

    /// <summary>At the range's begin and each so much later, up to its end. For ranges whose ends are times.</summary>
    /// <param name="time">How much later, at least 100 ns.</param>
    public static HistoryStep Time(TimeSpan time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero);
        return new HistoryStep(0, time);
    }

    /// <summary>The step in words.</summary>
    public override string ToString() => _events > 0 ? string.Create(CultureInfo.InvariantCulture, $"every {_events} events")
        : _time > TimeSpan.Zero ? $"every {_time}" : "each change";

    internal void Put(Protocol.GetStateHistoryRequest request)
    {
        if (_events > 0)
        {
            request.Events = _events;
        }
        else if (_time > TimeSpan.Zero)
        {
            request.Ticks = _time.Ticks;
        }
        else
        {
            request.EachChange = new Protocol.Empty();
        }
    }
}
