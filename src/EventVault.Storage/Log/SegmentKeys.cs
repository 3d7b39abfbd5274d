using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Collects the keys of a segment's events from its groups. One thread; used once.</summary>
internal sealed class SegmentKeys(VaultMeta meta, Position firstPosition)
{
    private readonly ulong[] _keys = new ulong[EventKeys.MostPerEvent];

    public SealedKeysContent Content { get; } = new();

    /// <summary>The keys of a whole segment, sorted.</summary>
    /// <exception cref="DamageException">A group is damaged.</exception>
    public static SealedKeysContent Collect(SegmentReader reader, Position firstPosition, LogIndex lastIndex, VaultMeta meta)
    {
        var keys = new SegmentKeys(meta, firstPosition);
        var offset = (uint)Blocks.Size;
        GroupHeader header;
        do
        {
            var body = reader.ReadGroup(offset, out header);
            keys.Add(header, body);
            offset += (uint)header.TotalLength;
        }
        while (header.Index != lastIndex);

        keys.Content.Sort();
        return keys.Content;
    }

    /// <summary>Adds the events of the next group, which was checked as a whole.</summary>
    public void Add(in GroupHeader header, ReadOnlySpan<byte> body)
    {
        while (!body.IsEmpty && !header.IsSystem)
        {
            Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
            var records = append.Records;
            while (!records.IsEmpty)
            {
                Invariant.Check(RecordFormat.TryDecodeEvent(records, out var view) && view.Position >= firstPosition);
                var count = EventKeys.Of(view, meta.SipKey, _keys);
                Content.Add((uint)(view.Position.Value - firstPosition.Value), _keys.AsSpan(0, count));
                records = records[view.RecordLength..];
            }

            body = body[append.Length..];
        }
    }
}
