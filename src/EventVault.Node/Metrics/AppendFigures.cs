using System.Diagnostics;
using EventVault.Node.Services;
using EventVault.Protocol;

namespace EventVault.Node.Metrics;

/// <summary>What became of the appends that clients asked for, and how long they took. For every thread.</summary>
internal sealed class AppendFigures
{
    private const string AppendedText = "appended";
    private const string DeduplicatedText = "deduplicated";

    private static readonly Reason[] Reasons = Enum.GetValues<Reason>();
    private readonly long[] _refused = new long[(int)Reasons.Max() + 1]; // By reason.
    private long _appended;
    private long _deduplicated;
    private long _events;
    private long _bytes;

    /// <summary>From the arrival of an append to its answer, nanoseconds. Of those that were written.</summary>
    public Distribution Durations { get; } = new(Distribution.DurationUnit);

    /// <summary>Appends that were written and are answered now.</summary>
    /// <param name="appends">How many.</param>
    /// <param name="events">Events in them.</param>
    /// <param name="bytes">Bytes of their requests.</param>
    public void Appended(long appends, long events, long bytes)
    {
        Interlocked.Add(ref _appended, appends);
        Interlocked.Add(ref _events, events);
        Interlocked.Add(ref _bytes, bytes);
    }

    /// <summary>An append was answered that had been written before.</summary>
    public void Deduplicated() => Interlocked.Increment(ref _deduplicated);

    /// <summary>An append was refused; of several failures the first one counts.</summary>
    public void Refused(Refusal refusal) => Interlocked.Increment(ref _refused[(int)refusal.Detail.Failures[0].Reason]);

    /// <summary>Events of the appends that were answered.</summary>
    public long Events => Volatile.Read(ref _events);

    /// <summary>Bytes of their requests.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Adds how many came to what end.</summary>
    public void Read(MetricValues values)
    {
        values.Add(Volatile.Read(ref _appended), AppendedText);
        values.Add(Volatile.Read(ref _deduplicated), DeduplicatedText);
        foreach (var reason in Reasons)
        {
            if (Volatile.Read(ref _refused[(int)reason]) is var refused and > 0)
            {
                values.Add(refused, MetricValues.LabelOf(reason));
            }
        }
    }

    /// <summary>Nanoseconds between two looks at <see cref="Stopwatch"/>.</summary>
    public static long Nanoseconds(long from, long to) => (long)((to - from) * (1e9 / Stopwatch.Frequency));
}

/// <summary>
/// The answers of one message of a session, counted together: those that came with one read took equally long. For one thread at a time.
/// </summary>
/// <param name="figures">Told of them by <see cref="Flush"/>.</param>
internal sealed class AnswerCount(AppendFigures figures)
{
    private long _arrived;
    private long _now;
    private long _same;
    private long _appends;
    private long _events;
    private long _bytes;

    /// <summary>An append that was written is answered.</summary>
    /// <param name="append">The append.</param>
    public void Appended(QueuedAppend append)
    {
        if (append.Arrived != _arrived)
        {
            Record();
            _arrived = append.Arrived;
        }

        _same++;
        _appends++;
        _events += append.Content.EventCount;
        _bytes += append.QueuedBytes;
    }

    /// <summary>The message is complete.</summary>
    public void Flush()
    {
        if (_appends > 0)
        {
            Record();
            figures.Appended(_appends, _events, _bytes);
            (_arrived, _now, _appends, _events, _bytes) = (0, 0, 0, 0, 0);
        }
    }

    private void Record()
    {
        if (_same > 0)
        {
            _now = _now == 0 ? Stopwatch.GetTimestamp() : _now;
            figures.Durations.Record(AppendFigures.Nanoseconds(_arrived, _now), _same);
            _same = 0;
        }
    }
}
