// What an event can be found by, besides its stream and position: keys of 64 bits, the low half of SipHash (the vault's
// key) over one byte of kind and the bytes. The numbers of the kinds are part of FORMAT.md: keys stand in .kx files.
//
//  kind  bytes behind it
//     1  category: the stream's name up to the first '-', all of it if there is none
//     2  type
//     3  a tag; one key for each
//     4  a (type, tag) pair: length of the type (u16), type, tag; one key for each tag
//     5  correlation id: the value of the metadata entry "correlationId", unless it is empty
//     6  event id, the 16 bytes as they came
//     7  name of a stream that an event of `$streams` deletes or tombstones
//     8  name of a stream that an event of `$streams` truncates
//
// Events of streams whose names begin with '$' have only the kinds 1 and 5 to 8: no condition ever matches them.
// A key is a hash: who finds an event by one compares the record's bytes.
using System.Buffers.Binary;
using EventVault.Storage.Log;

namespace EventVault.Storage.Index;

/// <summary>Computes the keys of events, and those to look for.</summary>
internal static class EventKeys
{
    /// <summary>Most keys that one event has: category, type, correlation id, event id, and two for each tag.</summary>
    public const int MostPerEvent = 4 + (2 * VaultLimits.Tags);

    private const byte CategoryKind = 1;
    private const byte TypeKind = 2;
    private const byte TagKind = 3;
    private const byte PairKind = 4;
    private const byte CorrelationKind = 5;
    private const byte IdKind = 6;
    private const byte EndKind = 7;
    private const byte TruncationKind = 8;

    /// <summary>The category of a stream: its name up to the first '-', all of it if there is none.</summary>
    public static ReadOnlySpan<byte> CategoryOf(ReadOnlySpan<byte> stream)
    {
        int dash = stream.IndexOf((byte)'-');
        return dash < 0 ? stream : stream[..dash];
    }

    /// <summary>Whether a stream is one of the vault's own, whose events match no condition and have no type or tag key.</summary>
    public static bool IsSystem(ReadOnlySpan<byte> stream) => !stream.IsEmpty && stream[0] == (byte)'$';

    public static ulong OfCategory(ReadOnlySpan<byte> category, in SipKey key) => Compute(CategoryKind, category, key);

    public static ulong OfType(ReadOnlySpan<byte> type, in SipKey key) => Compute(TypeKind, type, key);

    public static ulong OfTag(ReadOnlySpan<byte> tag, in SipKey key) => Compute(TagKind, tag, key);

    public static ulong OfPair(ReadOnlySpan<byte> type, ReadOnlySpan<byte> tag, in SipKey key)
    {
        // The length in front: no two different pairs give the same bytes.
        Span<byte> head = [PairKind, 0, 0];
        BinaryPrimitives.WriteUInt16LittleEndian(head[1..], checked((ushort)type.Length));
        var hash = new SipHash128(key);
        hash.Append(head);
        hash.Append(type);
        hash.Append(tag);
        return hash.FinishLow();
    }

    public static ulong OfCorrelation(ReadOnlySpan<byte> correlationId, in SipKey key) =>
        Compute(CorrelationKind, correlationId, key);

    /// <summary>Of the events that end a life of a stream.</summary>
    public static ulong OfEnd(ReadOnlySpan<byte> stream, in SipKey key) => Compute(EndKind, stream, key);

    /// <summary>Of the events that truncate a stream.</summary>
    public static ulong OfTruncation(ReadOnlySpan<byte> stream, in SipKey key) => Compute(TruncationKind, stream, key);

    /// <param name="id">The event's id; its 16 bytes are big-endian, as everywhere.</param>
    /// <param name="key">The vault's.</param>
    public static ulong OfId(UInt128 id, in SipKey key)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        return Compute(IdKind, bytes, key);
    }

    /// <summary>All keys of an event.</summary>
    /// <param name="e">The event.</param>
    /// <param name="key">The vault's.</param>
    /// <param name="keys">Takes them: at least <see cref="MostPerEvent"/>. Their order depends on the event alone.</param>
    /// <returns>How many there are, from 1.</returns>
    public static int Of(in EventView e, in SipKey key, Span<ulong> keys)
    {
        Invariant.Check(keys.Length >= MostPerEvent);
        Span<Range> tags = stackalloc Range[VaultLimits.Tags];
        var labels = EventFields.ReadLabels(e.EventData, tags);
        var count = 0;
        keys[count++] = Recent.Of(CategoryKind, CategoryOf(e.Stream), key);
        if (!labels.Id.IsEmpty)
        {
            keys[count++] = Compute(IdKind, labels.Id, key);
        }

        if (!labels.CorrelationId.IsEmpty)
        {
            keys[count++] = OfCorrelation(labels.CorrelationId, key);
        }

        if (IsSystem(e.Stream))
        {
            if (StreamLifeEvent.TryReadSubject(e, out var kind, out var subject))
            {
                keys[count++] = kind == StreamChangeKind.Truncate ? OfTruncation(subject, key) : OfEnd(subject, key);
            }

            return count;
        }

        keys[count++] = Recent.Of(TypeKind, labels.Type, key);
        foreach (var range in tags[..labels.TagCount])
        {
            var tag = e.EventData[range];
            keys[count++] = OfTag(tag, key);
            keys[count++] = OfPair(labels.Type, tag, key);
        }

        return count;
    }

    private static ulong Compute(byte kind, ReadOnlySpan<byte> bytes, in SipKey key) => SipHash128.ComputeLow(kind, bytes, key);

    /// <summary>
    /// Keys that this thread has computed: nearly all events are of a few types and categories, and to compare a name costs less than to hash it.
    /// </summary>
    private sealed class Recent
    {
        private const int Slots = 32;
        private const int LongestBytes = 64;

        [ThreadStatic]
        private static Recent? OfThread;

        private readonly byte[] _bytes = new byte[Slots * LongestBytes];
        private readonly (byte Kind, byte Length, ulong Key)[] _known = new (byte, byte, ulong)[Slots];
        private SipKey _vault;

        public static ulong Of(byte kind, ReadOnlySpan<byte> bytes, in SipKey key) =>
            bytes.Length is 0 or > LongestBytes ? Compute(kind, bytes, key) : (OfThread ??= new Recent()).OfShort(kind, bytes, key);

        private ulong OfShort(byte kind, ReadOnlySpan<byte> bytes, in SipKey key)
        {
            if (_vault != key)
            {
                Array.Clear(_known); // One process may have several vaults.
                _vault = key;
            }

            // Names of one kind rarely share their ends and their length; two that do take turns.
            var slot = ((bytes.Length * 7) + (bytes[^1] * 5) + (bytes[0] * 3) + kind) % Slots;
            ref var known = ref _known[slot];
            var kept = _bytes.AsSpan(slot * LongestBytes, bytes.Length);
            if (known.Kind != kind || known.Length != bytes.Length || !bytes.SequenceEqual(kept))
            {
                bytes.CopyTo(kept);
                known = (kind, (byte)bytes.Length, Compute(kind, bytes, key));
            }

            return known.Key;
        }
    }
}
