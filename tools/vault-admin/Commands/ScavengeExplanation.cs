using System.Text.Json;
using EventVault.Client;
using Spectre.Console;

namespace EventVault.Admin.Commands;

/// <summary><c>scavenge --explain</c>: what one would do now, and what keeps the rest.</summary>
internal static class ScavengeExplanation
{
    /// <summary>Writes it: JSON as it comes, for people a table with the sums below it.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="segments">The segments.</param>
    public static async Task WriteAsync(Output output, IAsyncEnumerable<SegmentScavenge> segments)
    {
        var all = new List<SegmentScavenge>();
        await foreach (var segment in segments)
        {
            if (output.Json)
            {
                output.WriteJson(w => Write(w, segment));
                await output.FlushIfFullAsync();
            }
            else
            {
                all.Add(segment);
            }
        }

        if (!output.Json)
        {
            output.Show(TableOf(all));
            foreach (var line in Sums(all))
            {
                output.WriteLine(line);
            }
        }
    }

    /// <summary>What the numbers mean, in sentences.</summary>
    /// <param name="all">All segments.</param>
    internal static IEnumerable<string> Sums(IReadOnlyList<SegmentScavenge> all)
    {
        var anew = all.Where(s => s.Rewrites).ToList();
        yield return anew.Count == 0
            ? "A scavenge would free nothing now."
            : $"A scavenge would write {Rows.Number((ulong)anew.Count)} of {Rows.Number((ulong)all.Count)} segments anew and free about {Rows.Bytes(Sum(anew, s => s.RemovableBytes))} of {Rows.Bytes(Sum(all, s => s.Bytes))}.";
        foreach (var kept in all.Where(s => !s.Rewrites && s.RemovableEvents > 0).GroupBy(s => s.Why, StringComparer.Ordinal))
        {
            yield return $"{Rows.Number(Sum(kept, s => s.RemovableEvents))} events that can't be read any more, about {Rows.Bytes(Sum(kept, s => s.RemovableBytes))}, stay in {Rows.Number((ulong)kept.Count())} segments: {kept.Key}.";
        }

        if (Sum(all, Waiting) is var waiting and > 0)
        {
            yield return $"{Rows.Number(waiting)} events that can't be read any more stand in segments that are not sealed yet; they can go once appends have filled these.";
        }

        if (Sum(all, s => s.HeldEvents) is var held and > 0)
        {
            yield return $"{Rows.Number(held)} events that can't be read any more are kept by a legal hold; streams retention lists who holds.";
        }

        if (all.All(s => s.RemovableEvents == 0 && s.HeldEvents == 0 && Waiting(s) == 0))
        {
            yield return "All events in the log can be read: delete or truncate streams, or set a retention rule (streams retain), to make some removable.";
        }
    }

    private static Table TableOf(List<SegmentScavenge> all)
    {
        var table = new Table();
        foreach (var name in new[] { "segment", "positions", "on disk", "events", "readable", "vault's own", "held", "removable", "would free", "a scavenge" })
        {
            table.AddColumn(name, column => column.Alignment = name is "a scavenge" or "positions" ? Justify.Left : Justify.Right);
        }

        foreach (var s in all)
        {
            table.AddRow(
                Rows.Place(s.Segment),
                s.LastPosition is { } last ? $"{Rows.Place(s.FirstPosition)} – {Rows.Place(last)}" : "none",
                Rows.Bytes(s.Bytes),
                Rows.Number(s.Events),
                Rows.Number(s.VisibleEvents),
                Rows.Number(s.SystemEvents),
                Rows.Number(s.HeldEvents),
                Rows.Number(s.RemovableEvents),
                Rows.Bytes(s.RemovableBytes),
                Markup.Escape((s.Rewrites ? "writes it anew" : $"leaves it: {s.Why}") + (s.ScavengedAt is { } at ? $" (scavenged at {Rows.Place(at)})" : "")));
        }

        return table;
    }

    // Neither readable nor removable: hidden, in a segment that can't be written anew yet.
    private static ulong Waiting(SegmentScavenge s)
    {
        var told = s.RemovableEvents + s.VisibleEvents + s.SystemEvents + s.HeldEvents;
        return s.Events > told ? s.Events - told : 0;
    }

    private static ulong Sum(IEnumerable<SegmentScavenge> segments, Func<SegmentScavenge, ulong> of) =>
        segments.Aggregate(0UL, (sum, segment) => sum + of(segment));

    private static void Write(Utf8JsonWriter w, SegmentScavenge s)
    {
        w.WriteStartObject();
        w.WriteNumber("segment", s.Segment);
        w.WriteNumber("firstPosition", s.FirstPosition);
        w.WriteNumberOrNull("lastPosition", s.LastPosition);
        w.WriteNumber("bytes", s.Bytes);
        w.WriteNumber("events", s.Events);
        w.WriteNumber("removableEvents", s.RemovableEvents);
        w.WriteNumber("removableBytes", s.RemovableBytes);
        w.WriteNumber("visibleEvents", s.VisibleEvents);
        w.WriteNumber("systemEvents", s.SystemEvents);
        w.WriteNumber("heldEvents", s.HeldEvents);
        w.WriteBoolean("rewrites", s.Rewrites);
        w.WriteString("why", s.Why);
        w.WriteNumberOrNull("scavengedAt", s.ScavengedAt);
        w.WriteEndObject();
    }
}
