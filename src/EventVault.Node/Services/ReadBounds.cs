// From what a client asks for to positions and versions that exist. Bounds are inclusive; absurd ones are cut to what
// there is, never an overflow.
using EventVault.Protocol;
using EventVault.Storage;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>Works out the ends of reads.</summary>
internal static class ReadBounds
{
    /// <summary>Refuses a bound that says nothing, or a version where there is no single stream.</summary>
    public static void Check(ReadBound? bound, string field, bool ofOneStream)
    {
        if (bound is null)
        {
            return;
        }

        if (bound.BoundCase == ReadBound.BoundOneofCase.None)
        {
            throw Errors.InvalidRequest(field, "says nothing: one of version, position and time must be set").ToException();
        }

        if (bound.BoundCase == ReadBound.BoundOneofCase.Version && !ofOneStream)
        {
            throw Errors.InvalidRequest($"{field}.version", "belongs to a single stream: use a position or a time for the whole vault").ToException();
        }
    }

    /// <summary>The first position that a lower end takes in; may lie behind the head.</summary>
    public static long LowestPosition(EventReader reader, ReadBound? bound) => bound?.BoundCase switch
    {
        null => 0,
        ReadBound.BoundOneofCase.Position => Clamp(bound.Position),
        _ => reader.FirstAtOrAfter(bound.Time).Value,
    };

    /// <summary>The last position that an upper end takes in; −1 if there is none.</summary>
    public static long HighestPosition(EventReader reader, ReadBound? bound, Position head) => bound?.BoundCase switch
    {
        null => head.Value,
        ReadBound.BoundOneofCase.Position => Math.Min(Clamp(bound.Position), head.Value),
        _ when bound.Time == long.MaxValue => head.Value,
        _ => Math.Min(reader.FirstAtOrAfter(bound.Time + 1).Value - 1, head.Value),
    };

    /// <summary>The first version that a lower end takes in and that can be read; may lie behind the last one.</summary>
    public static long LowestVersion(EventReader reader, in StreamReference stream, ReadBound? bound, StreamVersion first, StreamVersion last) => Math.Max(first.Value, bound?.BoundCase switch
    {
        null => 0,
        ReadBound.BoundOneofCase.Version => Clamp(bound.Version),
        _ => reader.FirstVersionAtOrAfter(stream, new Position(LowestPosition(reader, bound)), last).Value,
    });

    /// <summary>The last version that an upper end takes in; −1 if there is none.</summary>
    public static long HighestVersion(EventReader reader, in StreamReference stream, ReadBound? bound, StreamVersion last, Position head)
    {
        if (bound?.BoundCase is null)
        {
            return last.Value;
        }

        if (bound.BoundCase == ReadBound.BoundOneofCase.Version)
        {
            return Math.Min(Clamp(bound.Version), last.Value);
        }

        var highest = HighestPosition(reader, bound, head);
        return reader.FirstVersionAtOrAfter(stream, new Position(highest + 1), last).Value - 1;
    }

    /// <summary>
    /// The stream's last version as of a head that was read before: what came since does not count. Whether it can be read is
    /// another question.
    /// </summary>
    public static StreamVersion LastVersion(EventReader reader, in StreamReference stream, Position head)
    {
        var last = reader.LastVersion(stream);
        return last == StreamVersion.None || reader.PositionOf(stream, last) <= head
            ? last
            : reader.FirstVersionAtOrAfter(stream, head + 1, last) + -1;
    }

    private static long Clamp(ulong value) => (long)Math.Min(value, long.MaxValue);
}
