// What an expression is, once it is parsed: a tree that is walked for every event. Three-valued logic, as in SQL: what is
// unknown stays so, and only what is true passes a filter. Nothing here depends on time, chance, place or language.
using System.Globalization;
using System.Text;

namespace EventVault.Temporal.Expressions;

/// <summary>An expression over one event. Immutable; shared by threads.</summary>
internal abstract class Expression
{
    /// <summary>Its value for an event. Only a text takes room: what else was made on the way is given back here, for all kinds of expressions.</summary>
    public Value Evaluate(in EventRow row)
    {
        var mark = row.Work.Used;
        var value = Calculate(row);
        if (value.Kind != ValueKind.Text)
        {
            row.Work.Release(mark);
        }

        return value;
    }

    /// <summary>Writes it so that equal expressions give equal texts, whatever their white space and letters were.</summary>
    public abstract void Write(StringBuilder to);

    public sealed override string ToString()
    {
        var text = new StringBuilder();
        Write(text);
        return text.ToString();
    }

    /// <summary>Works the value out. Lists are to give back what each of their members made: there may be a thousand.</summary>
    protected abstract Value Calculate(in EventRow row);

    protected static void Write(StringBuilder to, string name, params ReadOnlySpan<Expression> arguments)
    {
        to.Append(name).Append('(');
        for (var i = 0; i < arguments.Length; i++)
        {
            to.Append(i > 0 ? "," : "");
            arguments[i].Write(to);
        }

        to.Append(')');
    }
}

/// <summary>A number, a text, true, false or null.</summary>
internal sealed class Literal : Expression
{
    private readonly ValueKind _kind;
    private readonly decimal _number;
    private readonly byte[] _text = [];

    public Literal()
    {
    }

    public Literal(bool value) => (_kind, _number) = (ValueKind.Boolean, value ? 1 : 0);

    public Literal(decimal value) => (_kind, _number) = (ValueKind.Number, value);

    public Literal(byte[] text) => (_kind, _text) = (ValueKind.Text, text);

    protected override Value Calculate(in EventRow row) => _kind switch
    {
        ValueKind.Boolean => Value.Of(_number != 0),
        ValueKind.Number => Value.Of(_number),
        ValueKind.Text => Value.OfText(_text),
        _ => Value.Null,
    };

    public override void Write(StringBuilder to) => to.Append(_kind switch
    {
        ValueKind.Boolean => _number != 0 ? "TRUE" : "FALSE",
        ValueKind.Number => _number.ToString("G29", CultureInfo.InvariantCulture),
        ValueKind.Text => $"'{Encoding.UTF8.GetString(_text).Replace("'", "''", StringComparison.Ordinal)}'",
        _ => "NULL",
    });
}

/// <summary>A field of the event's data.</summary>
/// <param name="path">Names from the outside in; none: all of data.</param>
/// <param name="number">As <see cref="FieldPaths"/> numbers it.</param>
internal sealed class DataField(IReadOnlyList<byte[]> path, int number) : Expression
{
    protected override Value Calculate(in EventRow row) => row.Field(number);

    public override void Write(StringBuilder to)
    {
        to.Append("data");
        foreach (var name in path)
        {
            to.Append(".\"").Append(Encoding.UTF8.GetString(name).Replace("\"", "\"\"", StringComparison.Ordinal)).Append('"');
        }
    }
}

/// <summary>What the vault knows about an event.</summary>
internal enum EventFact : byte
{
    /// <summary><c>$stream</c>.</summary>
    Stream,

    /// <summary><c>$type</c>.</summary>
    Type,

    /// <summary><c>$version</c>.</summary>
    Version,

    /// <summary><c>$position</c>.</summary>
    Position,

    /// <summary><c>$time</c>: when it was recorded, as text.</summary>
    Time,

    /// <summary><c>$occurred</c>, as text.</summary>
    Occurred,
}

/// <summary>What the vault knows about the event.</summary>
internal sealed class FactField(EventFact fact) : Expression
{
    protected override Value Calculate(in EventRow row) => fact switch
    {
        EventFact.Stream => Value.OfText(row.Event.Stream),
        EventFact.Type => Value.OfText(row.Event.Type),
        EventFact.Version => Value.Of((decimal)row.Event.Version),
        EventFact.Position => Value.Of((decimal)row.Event.Position),
        EventFact.Time => row.Work.Time(row.Event.RecordedAt),
        _ => row.Work.Time(row.Event.OccurredAt),
    };

    public override void Write(StringBuilder to) => to.Append('$').Append(fact.ToString().ToLowerInvariant());
}

/// <summary>AND, OR and NOT.</summary>
internal sealed class Logic(string name, Expression left, Expression? right) : Expression
{
    protected override Value Calculate(in EventRow row)
    {
        var first = Truth(left.Evaluate(row), row);
        if (right is null)
        {
            return first.IsNull ? first : Value.Of(first.IsFalse);
        }

        // One side may settle it: then the other one is not looked at, and can't go wrong.
        var isAnd = name == "AND";
        if (isAnd ? first.IsFalse : first.IsTrue)
        {
            return first;
        }

        var second = Truth(right.Evaluate(row), row);
        return (isAnd ? second.IsFalse : second.IsTrue) || !first.IsNull ? second : Value.Null;
    }

    public override void Write(StringBuilder to)
    {
        if (right is null)
        {
            Write(to, name, left);
        }
        else
        {
            Write(to, name, left, right);
        }
    }

    private static Value Truth(Value value, in EventRow row) => value.Kind is ValueKind.Boolean or ValueKind.Null ? value : row.Work.Mismatch();
}

/// <summary>Whether there is a value.</summary>
internal sealed class NullTest(Expression operand, bool isNull) : Expression
{
    protected override Value Calculate(in EventRow row) => Value.Of(operand.Evaluate(row).IsNull == isNull);

    public override void Write(StringBuilder to) => Write(to, isNull ? "ISNULL" : "NOTNULL", operand);
}

/// <summary>Compares two values of one kind: numbers by size, texts by their bytes, false before true.</summary>
internal sealed class Comparison(string name, Expression left, Expression right) : Expression
{
    protected override Value Calculate(in EventRow row)
    {
        var a = left.Evaluate(row);
        var b = right.Evaluate(row);
        return a.IsNull || b.IsNull ? Value.Null : TryCompare(a, b, out var order) ? Value.Of(Holds(order)) : row.Work.Mismatch();
    }

    public override void Write(StringBuilder to) => Write(to, name, left, right);

    /// <summary>Which of two values comes first; false if they can't be compared.</summary>
    public static bool TryCompare(in Value a, in Value b, out int order)
    {
        order = a.Kind == ValueKind.Text ? a.Bytes.SequenceCompareTo(b.Bytes) : a.Number.CompareTo(b.Number);
        return a.Kind == b.Kind && a.Kind is ValueKind.Boolean or ValueKind.Number or ValueKind.Text;
    }

    private bool Holds(int order) => name switch
    {
        "=" => order == 0,
        "<>" => order != 0,
        "<" => order < 0,
        "<=" => order <= 0,
        ">" => order > 0,
        _ => order >= 0,
    };
}

/// <summary>Whether a value is one of some.</summary>
internal sealed class Membership(Expression operand, Expression[] values) : Expression
{
    protected override Value Calculate(in EventRow row)
    {
        var value = operand.Evaluate(row);
        if (value.IsNull)
        {
            return value;
        }

        var isKnown = true;
        var mark = row.Work.Used;
        foreach (var candidate in values)
        {
            row.Work.Release(mark); // The one before is done with.
            var other = candidate.Evaluate(row);
            if (other.IsNull)
            {
                isKnown = false;
            }
            else if (Comparison.TryCompare(value, other, out var order) && order == 0)
            {
                return Value.Of(true);
            }
        }

        return isKnown ? Value.Of(false) : Value.Null;
    }

    public override void Write(StringBuilder to) => Write(to, "IN", [operand, .. values]);
}

/// <summary>Adds, subtracts, multiplies, divides, takes the rest or the negative.</summary>
internal sealed class Arithmetic(char name, Expression left, Expression? right) : Expression
{
    protected override Value Calculate(in EventRow row)
    {
        var a = left.Evaluate(row);
        var b = right is null ? Value.Of(0m) : right.Evaluate(row);
        if (a.IsNull || b.IsNull)
        {
            return Value.Null;
        }

        if (a.Kind != ValueKind.Number || b.Kind != ValueKind.Number)
        {
            return row.Work.Mismatch();
        }

        if (name is '/' or '%' && b.Number == 0)
        {
            return row.Work.Fail();
        }

        try
        {
            return Value.Of(name switch
            {
                '+' => a.Number + b.Number,
                '-' when right is null => -a.Number,
                '-' => a.Number - b.Number,
                '*' => a.Number * b.Number,
                '/' => a.Number / b.Number,
                _ => a.Number % b.Number,
            });
        }
        catch (OverflowException)
        {
            return row.Work.Fail();
        }
    }

    public override void Write(StringBuilder to)
    {
        if (right is null)
        {
            Write(to, "NEG", left);
        }
        else
        {
            Write(to, name.ToString(), left, right);
        }
    }
}

/// <summary>The value of the first condition that is true.</summary>
internal sealed class Choice((Expression Condition, Expression Value)[] cases, Expression otherwise) : Expression
{
    protected override Value Calculate(in EventRow row)
    {
        var mark = row.Work.Used;
        foreach (var (condition, value) in cases)
        {
            if (condition.Evaluate(row).IsTrue)
            {
                return value.Evaluate(row);
            }

            row.Work.Release(mark); // A condition may be a text: it is not true then.
        }

        return otherwise.Evaluate(row);
    }

    public override void Write(StringBuilder to) => Write(to, "CASE", [.. cases.SelectMany(c => new[] { c.Condition, c.Value }), otherwise]);
}
