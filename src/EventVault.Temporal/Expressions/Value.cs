using EventVault.Temporal.Json;

namespace EventVault.Temporal.Expressions;

/// <summary>What a value is.</summary>
internal enum ValueKind : byte
{
    /// <summary>Nothing: null, missing, or not to be told.</summary>
    Null,

    /// <summary>True or false.</summary>
    Boolean,

    /// <summary>A number that a decimal holds exactly.</summary>
    Number,

    /// <summary>Text, UTF-8.</summary>
    Text,

    /// <summary>An object or an array: it can be counted, kept and compared with null, no more.</summary>
    Json,

    /// <summary>A number with more digits than a decimal has: it can be kept, but not be calculated with.</summary>
    LargeNumber,
}

/// <summary>A value while an expression is worked out.</summary>
internal readonly ref struct Value
{
    private Value(ValueKind kind, decimal number, ReadOnlySpan<byte> bytes)
    {
        Kind = kind;
        Number = number;
        Bytes = bytes;
    }

    public ValueKind Kind { get; }

    /// <summary>A number; 1 for true and 0 for false.</summary>
    public decimal Number { get; }

    /// <summary>Text: its bytes. JSON and large numbers: as they stand in the event.</summary>
    public ReadOnlySpan<byte> Bytes { get; }

    public static Value Null => default;

    public bool IsNull => Kind == ValueKind.Null;

    public bool IsTrue => Kind == ValueKind.Boolean && Number != 0;

    public bool IsFalse => Kind == ValueKind.Boolean && Number == 0;

    public static Value Of(bool value) => new(ValueKind.Boolean, value ? 1 : 0, default);

    public static Value Of(decimal value) => new(ValueKind.Number, value, default);

    public static Value OfText(ReadOnlySpan<byte> text) => new(ValueKind.Text, 0, text);

    public static Value OfJson(ReadOnlySpan<byte> json) => new(ValueKind.Json, 0, json);

    /// <summary>A number as it stands in a text of JSON.</summary>
    public static Value OfNumber(ReadOnlySpan<byte> token) =>
        JsonNumber.TryDecimal(token, out var number) ? Of(number) : new(ValueKind.LargeNumber, 0, token);
}
