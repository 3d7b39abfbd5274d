// The retention rules as a value of the state table, as of the last sealed segment, so that start need not look for them;
// everything in it follows from the events of the stream `$streams`.
//
//   retention   position of the newest event about retention i64, −1 if there is none; number of rules u32; zero u32; then the
//               rules, categories first, each ascending by the bytes of the names:
//               position of the event that set it i64; maximum age in seconds i64, events i64, bytes i64, 0 where there is no
//               such limit; length of the name, n, u16; scope u8 (1 = category, 2 = stream); flags u8 (1 = forever, 2 = legal
//               hold); zero u32; name, UTF-8, padded with zeros to 8 bytes. 40 + n bytes a rule
//
// The value is there even if no rule was ever set: a table without it was written by a version that knew of none of this,
// and says nothing.
using System.Buffers.Binary;
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Writes and reads it.</summary>
internal static class RetentionValue
{
    private const string ValueName = "retention";
    private const int HeaderLength = 16;
    private const int EntryLength = 40;
    private const byte FlagForever = 1;
    private const byte FlagLegalHold = 2;

    /// <summary>Bytes that the value takes.</summary>
    public static int Length(RetentionRules rules) => HeaderLength + rules.InOrder().Sum(e => EntryLength + Blocks.Align(e.Name.Length));

    /// <summary>The value of the state table.</summary>
    public static KeyValuePair<string, byte[]> Of(RetentionRules rules)
    {
        Invariant.Check(rules.Count == 0 || rules.LastChange > Position.None);
        var value = new byte[Length(rules)];
        BinaryPrimitives.WriteInt64LittleEndian(value, rules.LastChange.Value);
        BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(8), rules.Count);
        var at = HeaderLength;
        foreach (var entry in rules.InOrder())
        {
            var row = value.AsSpan(at);
            BinaryPrimitives.WriteInt64LittleEndian(row, entry.SetAt.Value);
            BinaryPrimitives.WriteInt64LittleEndian(row[8..], entry.Rule.MaxAgeSeconds ?? 0);
            BinaryPrimitives.WriteInt64LittleEndian(row[16..], entry.Rule.MaxEvents ?? 0);
            BinaryPrimitives.WriteInt64LittleEndian(row[24..], entry.Rule.MaxBytes ?? 0);
            BinaryPrimitives.WriteUInt16LittleEndian(row[32..], (ushort)entry.Name.Length);
            row[34] = (byte)entry.Scope;
            row[35] = (byte)((entry.Rule.Forever ? FlagForever : 0) | (entry.Rule.LegalHold ? FlagLegalHold : 0));
            entry.Name.CopyTo(row[EntryLength..]);
            at += EntryLength + Blocks.Align(entry.Name.Length);
        }

        Invariant.Check(at == value.Length);
        return new(ValueName, value);
    }

    /// <summary>Reads what the state table holds.</summary>
    /// <returns>Null if it does not hold this: the table is as good as lost.</returns>
    public static RetentionRules? Read(StateTable state)
    {
        if (state.AppliedThrough < 0)
        {
            return new RetentionRules();
        }

        if (!state.Values.TryGetValue(ValueName, out var value) || value.Length < HeaderLength || value.AsSpan(12, 4).ContainsAnyExcept((byte)0))
        {
            return null;
        }

        var last = BinaryPrimitives.ReadInt64LittleEndian(value);
        var count = BinaryPrimitives.ReadUInt32LittleEndian(value.AsSpan(8));
        if (last < -1 || count > RetentionRules.MostRules || (count > 0 && last < 0))
        {
            return null;
        }

        var entries = new List<RetentionEntry>((int)count);
        var rest = value.AsSpan(HeaderLength);
        for (var i = 0; i < count; i++)
        {
            if (ReadEntry(ref rest) is not { } entry || entry.SetAt.Value > last || (i > 0 && !Precedes(entries[^1], entry)))
            {
                return null;
            }

            entries.Add(entry);
        }

        return rest.IsEmpty ? RetentionRules.Of(entries, new Position(last)) : null;
    }

    private static bool Precedes(RetentionEntry a, RetentionEntry b) =>
        a.Scope < b.Scope || (a.Scope == b.Scope && a.Name.AsSpan().SequenceCompareTo(b.Name) < 0);

    private static RetentionEntry? ReadEntry(ref Span<byte> rest)
    {
        if (rest.Length < EntryLength)
        {
            return null;
        }

        var row = rest;
        var length = BinaryPrimitives.ReadUInt16LittleEndian(row[32..]);
        var end = EntryLength + Blocks.Align(length);
        var (scope, flags) = ((RetentionScope)row[34], row[35]);
        if (rest.Length < end || flags > (FlagForever | FlagLegalHold) || scope is not (RetentionScope.Category or RetentionScope.Stream)
            || row[36..EntryLength].ContainsAnyExcept((byte)0) || row[(EntryLength + length)..end].ContainsAnyExcept((byte)0))
        {
            return null;
        }

        var setAt = BinaryPrimitives.ReadInt64LittleEndian(row);
        var name = row.Slice(EntryLength, length).ToArray();
        var rule = new RetentionRule
        {
            MaxAgeSeconds = Limit(row[8..]),
            MaxEvents = Limit(row[16..]),
            MaxBytes = Limit(row[24..]),
            Forever = (flags & FlagForever) != 0,
            LegalHold = (flags & FlagLegalHold) != 0,
        };
        rest = rest[end..];
        return setAt >= 0 && rule.IsValid && RetentionEvent.IsName(scope, name) ? new RetentionEntry(scope, name, rule, new Position(setAt)) : null;
    }

    private static long? Limit(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadInt64LittleEndian(bytes) is var limit and not 0 ? limit : null;
}
