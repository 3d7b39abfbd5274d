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
            JsonTokenType.String => Value.OfText(field.IsEscaped ? Work.Unescaped(number, bytes) : bytes[1..^1]),
            _ => Value.OfJson(bytes),
        };
    }
}

/// <summary>
/// Room for the texts that an expression makes, and what went wrong on the way. One thread at a time.
/// Texts lie in it as on a stack, each of 64 KiB at most: what is needed no more is given back, so an expression takes as much as it is nested
/// deep, not as much as it has calls. Fields with escapes lie beside it, each once for an event: all of them together are shorter than the event.
/// </summary>
/// <param name="fields">How many fields there are.</param>
internal sealed class ExpressionWork(int fields)
{
    /// <summary>Texts longer than this are not made: a page of text is a document, not a field. A field's own text may be longer.</summary>
    public const int MostTextBytes = 64 * 1024;

    private readonly (long Event, int Start, int Length)[] _unescaped = new (long, int, int)[fields];
    private byte[] _room = new byte[1024];
    private byte[] _fieldRoom = [];
    private int _fieldsUsed;
    private long _event; // The first one is 1.

    /// <summary>Bytes that are held, used or not; for tests.</summary>
    public int RoomBytes => _room.Length + _fieldRoom.Length;

    /// <summary>Bytes that texts take now: what <see cref="Release"/> goes back to.</summary>
    public int Used { get; private set; }

    /// <summary>Values that were not of the kind that was needed.</summary>
    public int Mismatches { get; set; }

    /// <summary>Whether something could not be calculated: an overflow, a division by zero, a text that gets too long.</summary>
    public bool Failed { get; set; }

    /// <summary>Begins with the next event.</summary>
    public void Reset()
    {
        (Used, _fieldsUsed, Mismatches, Failed) = (0, 0, 0, false);
        _event++;
    }

    /// <summary>Room until it is given back.</summary>
    /// <param name="length">At most <see cref="MostTextBytes"/>.</param>
    public Span<byte> Rent(int length)
    {
        Invariant.Check(length is >= 0 and <= MostTextBytes, "No longer text is made.");
        Grow(ref _room, Used, length);
        Used += length;
        return _room.AsSpan(Used - length, length);
    }

    /// <summary>Gives back what was rented since.</summary>
    /// <param name="mark"><see cref="Used"/> at that time.</param>
    public void Release(int mark)
    {
        Invariant.Check(mark >= 0 && mark <= Used, "Room is given back in the order of a stack.");
        Used = mark;
    }

    /// <summary>What was rented since, in one piece.</summary>
    /// <param name="mark"><see cref="Used"/> at that time.</param>
    public ReadOnlySpan<byte> Since(int mark) => _room.AsSpan(mark, Used - mark);

    /// <summary>The text of a field with escapes, until the next event.</summary>
    /// <param name="number">Which field.</param>
    /// <param name="quoted">As it stands in the event, which is text.</param>
    public ReadOnlySpan<byte> Unescaped(int number, ReadOnlySpan<byte> quoted)
    {
        ref var known = ref _unescaped[number];
        if (known.Event != _event)
        {
            var reader = new Utf8JsonReader(quoted);
            reader.Read();
            Grow(ref _fieldRoom, _fieldsUsed, quoted.Length);
            known = (_event, _fieldsUsed, reader.CopyString(_fieldRoom.AsSpan(_fieldsUsed)));
            _fieldsUsed += known.Length;
        }

        return _fieldRoom.AsSpan(known.Start, known.Length);
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

    // Texts that were made before keep the old room alive. They are copied as well, so that offsets mean the same.
    private static void Grow(ref byte[] room, int used, int length)
    {
        if (room.Length - used < length)
        {
            Array.Resize(ref room, (int)Math.Min(Array.MaxLength, Math.Max(2L * room.Length, (long)used + length)));
        }
    }
}
