using System.Globalization;

namespace EventVault.Simulation.Scheduling;

/// <summary>
/// What happened: a hash over all of it, which two runs of a seed must share, and the last lines for people. Lines cost
/// nothing until they are printed; who calls <see cref="Note(string)"/> for each of many events should think again.
/// </summary>
internal sealed class Trace(Func<long> now)
{
    /// <summary>Lines that a failing run prints.</summary>
    public const int KeptLines = 120;

    private readonly (long Time, string? Text, EventKind Kind, int Node, object? Payload)[] _lines = new (long, string?, EventKind, int, object?)[KeptLines];
    private long _count;

    /// <summary>Over all events and everything noted with <see cref="Mix"/>.</summary>
    public ulong Hash { get; private set; } = 0xcbf29ce484222325;

    public long Events { get; private set; }

    /// <summary>Prints each line as it comes.</summary>
    public TextWriter? Verbose { get; set; }

    /// <summary>An event, before it is handled.</summary>
    public void Event(in SimulatedEvent e)
    {
        Events++;
        Mix(e.Time, ((long)e.Kind << 32) | (uint)e.Node);
        if (e.Kind is EventKind.Message or EventKind.Request or EventKind.Write)
        {
            Add(null, e.Kind, e.Node, e.Payload);
        }
    }

    /// <summary>Takes values into the hash.</summary>
    public void Mix(long a, long b)
    {
        var hash = (Hash ^ (ulong)a) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
        hash = (hash ^ (ulong)b) * 0xff51afd7ed558ccd;
        Hash = hash ^ (hash >> 29);
    }

    /// <summary>A line for people; the hash takes it, too.</summary>
    public void Note(string text)
    {
        foreach (var letter in text)
        {
            Mix(letter, 0);
        }

        Add(text, EventKind.Action, 0, null);
    }

    /// <summary>The last lines, oldest first.</summary>
    public IEnumerable<string> LastLines()
    {
        for (var i = Math.Max(0, _count - KeptLines); i < _count; i++)
        {
            yield return Line(_lines[i % KeptLines]);
        }
    }

    private void Add(string? text, EventKind kind, int node, object? payload)
    {
        ref var line = ref _lines[_count++ % KeptLines];
        line = (now(), text, kind, node, payload);
        Verbose?.WriteLine(Line(line));
    }

    private static string Line((long Time, string? Text, EventKind Kind, int Node, object? Payload) line)
    {
        var time = (line.Time / (double)TimeSpan.TicksPerSecond).ToString("F6", CultureInfo.InvariantCulture);
        return line.Text is { } text ? $"{time} {text}" : $"{time} node {line.Node}: {line.Kind} {line.Payload}";
    }
}
