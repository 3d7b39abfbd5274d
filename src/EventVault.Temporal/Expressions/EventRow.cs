using System.Globalization;
using System.Text.Json;

namespace EventVault.Temporal.Expressions;

/// <summary>An event with its fields, as expressions look at it.</summary>
/// <param name="e">The event.</param>
/// <param name="fields">Where the fields of its data stand; all missing if its data is no JSON.</param>
/// <param name="work">Room, and what went wrong.</param>
internal readonly ref struct EventRow(FoldEvent e, ReadOnlySpan<Field> fields, ExpressionWork work)
{
    private readonly ReadOnlySpan<Field> _fields = fields;

    public FoldEvent Event { get; } = e;

    public ExpressionWork Work { get; } = work;

    /// <summary>The value of a field of the data.</summary>
    public Value Field(int number)
    {
        var field = _fields[number];
        if (field.Length == 0)
        {
            return Value.Null;
        }

        var bytes = Event.Data.Slice(field.Start, field.Length);
        return field.Kind switch
        {
            JsonTokenType.Null => Value.Null,
            JsonTokenType.True => Value.Of(true),
            JsonTokenType.False => Value.Of(false),
            JsonTokenType.Number => Value.OfNumber(bytes),
            JsonTokenType.String => Value.OfText(field.IsEscaped ? Unescaped(bytes) : bytes[1..^1]),
            _ => Value.OfJson(bytes),
        };
    }

    private Span<byte> Unescaped(ReadOnlySpan<byte> quoted)
    {
        var reader = new Utf8JsonReader(quoted);
        reader.Read();
        var room = Work.Rent(quoted.Length);
        return room[..reader.CopyString(room)];
    }
}

/// <summary>Room for the texts that an expression makes, and what went wrong on the way. One thread at a time.</summary>
internal sealed class ExpressionWork
{
    /// <summary>Texts longer than this are not made: a page of text is a document, not a field.</summary>
    public const int MostTextBytes = 64 * 1024;

    private byte[] _room = new byte[1024];
    private int _used;

    /// <summary>Values that were not of the kind that was needed.</summary>
    public int Mismatches { get; set; }

    /// <summary>Whether something could not be calculated: an overflow, a division by zero, a text that gets too long.</summary>
    public bool Failed { get; set; }

    /// <summary>Begins with the next event.</summary>
    public void Reset() => (_used, Mismatches, Failed) = (0, 0, false);

    /// <summary>Room until the next event.</summary>
    public Span<byte> Rent(int length)
    {
        if (_room.Length - _used < length)
        {
            // Texts that were made before keep the old room alive.
            (_room, _used) = (new byte[Math.Max(2 * _room.Length, length)], 0);
        }

        var room = _room.AsSpan(_used, length);
        _used += length;
        return room;
    }

    /// <summary>A value of the wrong kind stands for nothing.</summary>
    public Value Mismatch()
    {
        Mismatches++;
        return Value.Null;
    }

    /// <summary>What can't be calculated stands for nothing, too.</summary>
    public Value Fail()
    {
        Failed = true;
        return Value.Null;
    }

    /// <summary>A moment as text, so that moments sort as texts do: 2026-03-01T09:00:00.0000000Z.</summary>
    public Value Time(long ticks)
    {
        const int Length = 28;
        var room = Rent(Length);
        var shown = ticks >= -DateTime.UnixEpoch.Ticks && ticks <= DateTime.MaxValue.Ticks - DateTime.UnixEpoch.Ticks
            && DateTime.UnixEpoch.AddTicks(ticks).TryFormat(room, out var written, "O", CultureInfo.InvariantCulture) && written == Length;
        return shown ? Value.OfText(room) : Mismatch();
    }
}
