// What a scavenge does with a segment: a function of the segment and the rules alone, so that all nodes do the same. It looks
// at the index, not at the events: of these only at one of each stream that has something to lose, for its name.
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>A plan for one segment.</summary>
internal sealed class SegmentPlan
{
    /// <summary>
    /// A segment is written anew if this share of its records goes, in bytes, one part in so many, and its file becomes shorter
    /// by as much: less would wear the disk for little. Part of the function: all nodes have the same.
    /// </summary>
    public const int LeastShare = 10;

    /// <summary>What a stream's name is taken to need when a file's length is estimated. Bytes.</summary>
    private const int EstimatedName = 32;

    private SegmentPlan(SealedSegment segment, int[] removed)
    {
        Segment = segment;
        Removed = removed;
    }

    /// <summary>The segment.</summary>
    public SealedSegment Segment { get; }

    /// <summary>By entry of the index: how many of a stream's first events are removed afterwards, those of earlier scavenges included.</summary>
    public int[] Removed { get; }

    /// <summary>Whether operation ids are kept.</summary>
    public bool KeepsAppends { get; private init; }

    /// <summary>Appends that the segment had.</summary>
    public long Appends { get; private init; }

    /// <summary>Events that go.</summary>
    public long RemovableEvents { get; private set; }

    /// <summary>What their records take, and what is written around them. Bytes.</summary>
    public long RemovableBytes { get; private set; }

    /// <summary>What operation ids take that an earlier scavenge kept and this one need not. Bytes.</summary>
    public long RemovableAppendBytes { get; private init; }

    /// <summary>Hidden events that a legal hold keeps.</summary>
    public long HeldEvents { get; private set; }

    /// <summary>What all records take. Bytes.</summary>
    public long ContentBytes { get; private init; }

    /// <summary>About how long the file becomes. Bytes.</summary>
    public long EstimatedLength => (2 * Blocks.Size) + (ContentBytes - RemovableBytes)
        + (Removed.Length * (long)(SealedIndexFormat.RunLength + sizeof(uint) + EstimatedName))
        + (KeepsAppends ? Appends * (sizeof(uint) + ScavengedHeader.AppendLength + ScavengedHeader.AppendStreamLength) : 0);

    /// <summary>
    /// How long the file becomes at the most, names and streams of appends as long and as many as they can be: a rewrite that
    /// would not become shorter than the old file ends before it writes more. Bytes.
    /// </summary>
    public long MostLength => Math.Min(
        Segment.FileLength,
        EstimatedLength + (Removed.Length * (long)(RecordFormat.MaxNameBytes - EstimatedName)) + (KeepsAppends ? (Segment.Record.EventCount - Appends) * ScavengedHeader.AppendStreamLength : 0));

    /// <summary>What the appends take, if each wrote to one stream, as nearly all do. Bytes.</summary>
    public int AppendBytes => (int)Math.Min(Appends * (ScavengedHeader.AppendLength + ScavengedHeader.AppendStreamLength), Segment.FileLength);

    /// <summary>Why it is not written anew; null: it is.</summary>
    public string? Why
    {
        get
        {
            if (RemovableEvents == 0 && RemovableAppendBytes == 0)
            {
                return HeldEvents > 0 ? "all that is hidden in it is under a legal hold" : "nothing in it is hidden";
            }

            return (RemovableBytes + RemovableAppendBytes) * LeastShare < ContentBytes + RemovableAppendBytes
                ? $"less than a {LeastShare}th of it would go"
                : EstimatedLength > Segment.FileLength - (Segment.FileLength / LeastShare)
                    ? $"its file would become shorter by less than a {LeastShare}th: streams and operation ids have to be kept"
                    : null;
        }
    }

    /// <summary>Plans. Takes a lease of the segment for as long as it runs.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="rules">What may go.</param>
    /// <param name="appends">How many appends the segment had, by its footer.</param>
    /// <param name="floor">Operation ids go if the segment ends before it.</param>
    public static SegmentPlan Make(SealedSegment segment, IScavengeRules rules, long appends, Position floor)
    {
        var index = segment.Index;
        var removed = new int[index.StreamCount];
        using var lease = new SegmentSource(segment).Lease();
        var records = segment.Scavenged?.Sections[ScavengedHeader.Records];
        var keepsAppends = segment.Record.LastPosition >= floor && segment.Scavenged is not { KeptAppends: 0 };
        var plan = new SegmentPlan(segment, removed)
        {
            KeepsAppends = keepsAppends,
            RemovableAppendBytes = keepsAppends || segment.Scavenged is not { } old ? 0 : old.Sections[ScavengedHeader.Appends].Length,
            Appends = appends,
            ContentBytes = records?.Length ?? segment.Record.EndOffset - (long)Blocks.Size,
        };
        if (rules.Count < index.StreamCount && segment.Scavenged is null)
        {
            foreach (var stream in rules.Streams)
            {
                if (index.Find(stream) is var entry and >= 0)
                {
                    plan.Add(lease.Reader, rules, entry);
                }
            }
        }
        else
        {
            for (var entry = 0; entry < removed.Length; entry++)
            {
                plan.Add(lease.Reader, rules, entry);
            }
        }

        Invariant.Check(plan.RemovableEvents + plan.HeldEvents <= index.KeptCount);
        return plan;
    }

    private void Add(SegmentReader reader, IScavengeRules rules, int entry)
    {
        var index = Segment.Index;
        var run = index.Run(entry);
        Removed[entry] = run.Removed;
        var hidden = (int)Math.Clamp(rules.FirstVisible(run.Key).Value - run.FirstVersion, 0, run.Count);
        if (hidden <= run.Removed)
        {
            return;
        }

        var first = index.OrdinalOf(run, run.Removed);
        var name = reader.Read(index.OffsetOf(first), Segment.FirstPosition + first).Stream;
        Invariant.Check(!EventKeys.IsSystem(name), "The vault's own streams are never truncated.");
        if (rules.IsHeld(name))
        {
            HeldEvents += hidden - run.Removed;
            return;
        }

        Removed[entry] = hidden;
        RemovableEvents += hidden - run.Removed;
        for (var i = run.Removed; i < hidden; i++)
        {
            var ordinal = index.OrdinalOf(run, i);
            RemovableBytes += EndOf(ordinal) - index.OffsetOf(ordinal);
        }
    }

    // Where the next record begins. Between two of a group that was never scavenged may stand headers: they go, too.
    private long EndOf(uint ordinal)
    {
        var next = Segment.Index.NextKept(ordinal + 1);
        return next < Segment.Record.EventCount ? Segment.Index.OffsetOf(next)
            : Segment.Scavenged is { } scavenged ? scavenged.Sections[ScavengedHeader.Records].Offset + scavenged.Sections[ScavengedHeader.Records].Length
            : Segment.Record.EndOffset;
    }
}
