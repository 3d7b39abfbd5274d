using System.Buffers;
using System.Text;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Expressions;

/// <summary>A call of a function.</summary>
internal sealed class Call(Function function, Expression[] arguments) : Expression
{
    protected override Value Calculate(in EventRow row) => function.Evaluate(arguments, row);

    public override void Write(StringBuilder to) => Write(to, function.Name, arguments);
}

/// <summary>A function of the expression language.</summary>
/// <param name="Name">In capitals.</param>
/// <param name="Least">Fewest arguments.</param>
/// <param name="Most">Most arguments.</param>
/// <param name="Evaluate">What it does. Null if an argument that it needs is null.</param>
internal sealed record Function(string Name, int Least, int Most, Function.Evaluator Evaluate)
{
    /// <summary>Digits behind the point that ROUND can keep: those of a decimal.</summary>
    private const int MostDigits = 28;

    /// <summary>Arguments of a function that takes any number: a limit for the definition's sake.</summary>
    private const int Many = 64;

    public delegate Value Evaluator(Expression[] arguments, in EventRow row);

    /// <summary>All there are, by name.</summary>
    public static IReadOnlyDictionary<string, Function> All { get; } = new[]
    {
        new Function("ABS", 1, 1, static (Expression[] a, in EventRow row) => Numeric(a[0], row, Math.Abs)),
        new Function("FLOOR", 1, 1, static (Expression[] a, in EventRow row) => Numeric(a[0], row, decimal.Floor)),
        new Function("CEILING", 1, 1, static (Expression[] a, in EventRow row) => Numeric(a[0], row, decimal.Ceiling)),
        new Function("ROUND", 1, 2, Round),
        new Function("COALESCE", 1, Many, Coalesce),
        new Function("LENGTH", 1, 1, Length),
        new Function("LOWER", 1, 1, static (Expression[] a, in EventRow row) => Mapped(a[0], row, (byte)'A', (byte)'Z', +32)),
        new Function("UPPER", 1, 1, static (Expression[] a, in EventRow row) => Mapped(a[0], row, (byte)'a', (byte)'z', -32)),
        new Function("CONCAT", 1, Many, Concat),
        new Function("NUMBER", 1, 1, Number),
        new Function("TEXT", 1, 1, static (Expression[] a, in EventRow row) => Text(a[0].Evaluate(row), row)),
    }.ToDictionary(f => f.Name, StringComparer.OrdinalIgnoreCase);

    private static Value Numeric(Expression argument, in EventRow row, Func<decimal, decimal> map)
    {
        var value = argument.Evaluate(row);
        return value.IsNull ? value : value.Kind == ValueKind.Number ? Value.Of(map(value.Number)) : row.Work.Mismatch();
    }

    // To the nearest, and of two equally near ones to the even.
    private static Value Round(Expression[] arguments, in EventRow row)
    {
        var value = arguments[0].Evaluate(row);
        var digits = arguments.Length > 1 ? arguments[1].Evaluate(row) : Value.Of(0m);
        if (value.IsNull || digits.IsNull)
        {
            return Value.Null;
        }

        return value.Kind == ValueKind.Number && digits.Kind == ValueKind.Number && digits.Number is >= 0 and <= MostDigits && decimal.IsInteger(digits.Number)
            ? Value.Of(decimal.Round(value.Number, (int)digits.Number, MidpointRounding.ToEven))
            : row.Work.Mismatch();
    }

    private static Value Coalesce(Expression[] arguments, in EventRow row)
    {
        foreach (var argument in arguments)
        {
            var value = argument.Evaluate(row);
            if (!value.IsNull)
            {
                return value;
            }
        }

        return Value.Null;
    }

    // In characters of Unicode, not in bytes.
    private static Value Length(Expression[] arguments, in EventRow row)
    {
        var value = arguments[0].Evaluate(row);
        if (value.Kind != ValueKind.Text)
        {
            return value.IsNull ? value : row.Work.Mismatch();
        }

        var continuing = 0;
        foreach (var b in value.Bytes)
        {
            continuing += (b & 0xC0) == 0x80 ? 1 : 0;
        }

        return Value.Of((decimal)(value.Bytes.Length - continuing));
    }

    // Only the letters A to Z: the rules for others differ by language and change with the years.
    private static Value Mapped(Expression argument, in EventRow row, byte first, byte last, int distance)
    {
        var value = argument.Evaluate(row);
        if (value.Kind != ValueKind.Text)
        {
            return value.IsNull ? value : row.Work.Mismatch();
        }

        if (value.Bytes.Length > ExpressionWork.MostTextBytes)
        {
            return row.Work.Fail();
        }

        var room = row.Work.Rent(value.Bytes.Length);
        for (var i = 0; i < room.Length; i++)
        {
            var b = value.Bytes[i];
            room[i] = b >= first && b <= last ? (byte)(b + distance) : b;
        }

        return Value.OfText(room);
    }

    // What is null adds nothing. The text grows at the end of the room, in one piece: what its parts took there is given back.
    private static Value Concat(Expression[] arguments, in EventRow row)
    {
        var work = row.Work;
        var begin = work.Used;
        foreach (var argument in arguments)
        {
            var end = work.Used;
            var part = Text(argument.Evaluate(row), row).Bytes;
            if (end - begin + part.Length > ExpressionWork.MostTextBytes)
            {
                return work.Fail();
            }

            work.Release(end);
            part.CopyTo(work.Rent(part.Length)); // The part may stand where it goes to: copying takes care of that.
        }

        return Value.OfText(work.Since(begin));
    }

    private static Value Number(Expression[] arguments, in EventRow row)
    {
        var value = arguments[0].Evaluate(row);
        return value.Kind switch
        {
            ValueKind.Null or ValueKind.Number => value,
            ValueKind.Boolean => Value.Of(value.Number),
            ValueKind.Text when IsNumber(value.Bytes) && JsonNumber.TryDecimal(value.Bytes, out var number) => Value.Of(number),
            _ => row.Work.Mismatch(),
        };
    }

    // As JSON writes numbers: no white space, no plus, no separators.
    private static bool IsNumber(ReadOnlySpan<byte> text) =>
        text.Length is > 0 and <= 64 && (char.IsAsciiDigit((char)text[0]) || text[0] == (byte)'-') && JsonText.IsValid(text);

    private static Value Text(Value value, in EventRow row)
    {
        switch (value.Kind)
        {
            case ValueKind.Null or ValueKind.Text:
                return value;
            case ValueKind.Boolean:
                return Value.OfText(value.IsTrue ? "true"u8 : "false"u8);
            case ValueKind.Number:
                var text = new ArrayBufferWriter<byte>(JsonNumber.MostDecimalBytes);
                JsonNumber.Write(value.Number, text);
                var room = row.Work.Rent(text.WrittenCount);
                text.WrittenSpan.CopyTo(room);
                return Value.OfText(room);
            default:
                return row.Work.Mismatch();
        }
    }
}
