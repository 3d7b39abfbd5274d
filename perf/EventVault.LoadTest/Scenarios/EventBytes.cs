using System.Globalization;
using System.Text;
using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Data of events: JSON of an exact size, with a moment in it that can be set and read without parsing.</summary>
internal static class EventBytes
{
    /// <summary>Type of all events of the runs.</summary>
    public const string Type = "OrderPlaced";

    // {"t":"…16 digits…"
    private const int StampAt = 6;
    private const int StampDigits = 16;

    // Field 3 of EventData, a length behind it.
    private const uint DataField = 3;
    private const int Variants = 64;

    /// <summary>Some different ones of this size, at least 100 bytes; the same for the same size.</summary>
    public static Values<byte[]> Payloads(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 100);
        var random = new Random(size);
        return Values<byte[]>.InTurn([.. Enumerable.Range(0, Variants).Select(_ =>
        {
            var head = $"{{\"t\":\"{0L:x16}\",\"order\":\"{random.NextInt64():x16}\",\"customer\":{random.Next(100_000, 999_999)},\"note\":\"";
            var note = new byte[size];
            random.NextBytes(note);
            return Encoding.ASCII.GetBytes(head + Convert.ToHexString(note)[..(size - head.Length - 2)] + "\"}");
        })]);
    }

    /// <summary>A copy with a moment in it.</summary>
    public static byte[] Stamped(byte[] payload, TimeSpan moment)
    {
        var stamped = (byte[])payload.Clone();
        moment.Ticks.TryFormat(stamped.AsSpan(StampAt, StampDigits), out _, "x16", CultureInfo.InvariantCulture);
        return stamped;
    }

    /// <summary>The moment in the data of an event.</summary>
    public static TimeSpan Stamp(ReadOnlySpan<byte> data) => new(long.Parse(data.Slice(StampAt, StampDigits), NumberStyles.HexNumber, CultureInfo.InvariantCulture));

    /// <summary>The data of an event that came over the wire, without making an object of it; empty if it has none.</summary>
    public static ReadOnlySpan<byte> Data(in RawEvent e)
    {
        var bytes = e.EventWire.Span;
        while (bytes.Length > 0)
        {
            var tag = Varint(ref bytes);
            switch (tag & 7)
            {
                case 0:
                    Varint(ref bytes);
                    break;
                case 1:
                    bytes = bytes[8..];
                    break;
                case 2:
                    var length = (int)Varint(ref bytes);
                    if (tag >> 3 == DataField)
                    {
                        return bytes[..length];
                    }

                    bytes = bytes[length..];
                    break;
                case 5:
                    bytes = bytes[4..];
                    break;
                default:
                    throw new InvalidDataException($"Wire type {tag & 7} in an event at position {e.Position}.");
            }
        }

        return [];
    }

    private static ulong Varint(ref ReadOnlySpan<byte> bytes)
    {
        var value = 0UL;
        for (var (i, shift) = (0, 0); ; i++, shift += 7)
        {
            value |= (ulong)(bytes[i] & 0x7F) << shift;
            if (bytes[i] < 0x80)
            {
                bytes = bytes[(i + 1)..];
                return value;
            }
        }
    }
}
