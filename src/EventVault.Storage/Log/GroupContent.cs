using System.Diagnostics.CodeAnalysis;

namespace EventVault.Storage.Log;

/// <summary>Checks what stands in a group whose checksums hold: every append and every record, as deep as readers look.</summary>
internal static class GroupContent
{
    /// <summary>Whether all of it is what must stand there.</summary>
    /// <param name="header">The group's.</param>
    /// <param name="body">Its body.</param>
    /// <param name="seed">The vault's.</param>
    /// <param name="kind">What the group is.</param>
    /// <param name="events">How many events are sound, up to the first that is not.</param>
    /// <param name="fault">Where it is not, in bytes of the segment, and what should stand there.</param>
    public static bool IsSound(
        in GroupHeader header, ReadOnlySpan<byte> body, uint seed, out GroupKind kind, out int events, [NotNullWhen(false)] out (long Offset, string Expected)? fault)
    {
        (kind, events, fault) = (GroupKind.Appends, 0, null);
        if (header.IsSystem)
        {
            fault = SystemRecord.TryDecode(body, seed, out kind, out _) ? null : (header.Place.Offset + GroupHeader.Length, "a system record");
            return fault is null;
        }

        var ordinal = 0;
        for (; !body.IsEmpty; ordinal++)
        {
            var appendOffset = header.Place.Offset + header.TotalLength - body.Length;
            if (!RecordFormat.TryDecodeAppend(body, out var append))
            {
                fault = (appendOffset, "the header of an append");
                return false;
            }

            var records = append.Records;
            while (!records.IsEmpty)
            {
                var position = header.FirstPosition + events;
                if (!RecordFormat.TryReadEvent(records, seed, out var view) || view.Position != position
                    || view.AppendOrdinal != ordinal || view.RecordedAt != header.Time + ordinal
                    || records[(view.RecordLength - records[11])..view.RecordLength].IndexOfAnyExcept((byte)0) >= 0)
                {
                    fault = (appendOffset + append.Length - records.Length, $"the record of position {position}");
                    return false;
                }

                events++;
                records = records[view.RecordLength..];
            }

            body = body[append.Length..];
        }

        if (ordinal != header.Appends || events != header.Events)
        {
            fault = (header.Place.Offset, $"a group of {header.Appends} appends and {header.Events} events");
        }

        return fault is null;
    }
}
