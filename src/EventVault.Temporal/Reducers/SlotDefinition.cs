// Slots as text:
//
//   slots     := slot (, slot)* [BY expression]
//   slot      := name = AGGREGATE ( expression ) [FILTER ( WHERE expression )]      COUNT also takes *
//
// `lines = SUM(data.delta), files = COUNT(*) FILTER (WHERE $version = 0) BY data.author`
using System.Text;
using EventVault.Storage.Log;
using EventVault.Temporal.Expressions;

namespace EventVault.Temporal.Reducers;

/// <summary>What a slot keeps of the values that it gets. Null adds nothing to any of them.</summary>
public enum Aggregate
{
    /// <summary>How many values, or with <c>*</c> events.</summary>
    Count,

    /// <summary>Their sum, exactly; null over none.</summary>
    Sum,

    /// <summary>The smallest number, or the first text in the order of its bytes; null over none.</summary>
    Min,

    /// <summary>The largest.</summary>
    Max,

    /// <summary>Their mean, rounded to 10 digits behind the point, of two equally near ones to the even; null over none.</summary>
    Avg,

    /// <summary>The first one, whatever it is.</summary>
    First,

    /// <summary>The last one, whatever it is.</summary>
    Last,

    /// <summary>All different ones, in the order of their JSON's bytes.</summary>
    SetAdd,
}

/// <summary>One named value of a state.</summary>
/// <param name="Name">Its name, UTF-8.</param>
/// <param name="Aggregate">What it keeps.</param>
/// <param name="Argument">Of which value; null: COUNT(*).</param>
/// <param name="Filter">Of which events; null: all.</param>
internal sealed record Slot(byte[] Name, Aggregate Aggregate, Expression? Argument, Expression? Filter);

/// <summary>Slots, and what their key is if there is one state for each key.</summary>
internal sealed record SlotDefinition(IReadOnlyList<Slot> Slots, Expression? Key, FieldPaths Fields)
{
    /// <summary>Bytes of a definition: it is parsed for calls that bring their own.</summary>
    private const int MostBytes = 16 * 1024;

    /// <summary>Slots of a definition: each is worked out for every event.</summary>
    private const int MostSlots = 256;

    /// <summary>Bytes of a slot's name.</summary>
    private const int MostNameBytes = 256;

    private static readonly Dictionary<string, Aggregate> Aggregates = Enum.GetValues<Aggregate>().ToDictionary(NameOf, StringComparer.OrdinalIgnoreCase);

    /// <summary>The slots' places in the order of their names' bytes.</summary>
    public IReadOnlyList<int> Order { get; } = [.. Enumerable.Range(0, Slots.Count).OrderBy(i => Slots[i].Name, Utf8Comparer.Ordinal)];

    /// <exception cref="ExpressionException">The text is no definition.</exception>
    public static SlotDefinition Parse(string text)
    {
        if (Encoding.UTF8.GetByteCount(text) is var bytes && bytes > MostBytes)
        {
            throw new ExpressionException($"The definition has {bytes} bytes, more than the {MostBytes} that are allowed.", 0, text.Length);
        }

        var fields = new FieldPaths();
        var parser = new ExpressionParser(text, fields);
        var slots = new List<Slot>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        do
        {
            var at = parser.Next;
            var slot = ParseSlot(parser);
            if (!names.Add(Encoding.UTF8.GetString(slot.Name)) || slot.Name.Length > MostNameBytes || slots.Count == MostSlots)
            {
                throw ExpressionParser.Error(
                    slots.Count == MostSlots ? $"More than {MostSlots} slots." : slot.Name.Length > MostNameBytes ? $"A slot's name has more than {MostNameBytes} bytes." : $"There are two slots {at}.", at);
            }

            slots.Add(slot);
        }
        while (parser.Take(","));

        var key = parser.TakeWord("BY") ? parser.Parse() : null;
        return parser.Next.Kind == TokenKind.End
            ? new SlotDefinition(slots, key, fields)
            : throw ExpressionParser.Error($"Expected a comma and another slot, BY and a key, or the end, found {parser.Next}.", parser.Next);
    }

    /// <summary>The definition in its normal form.</summary>
    public override string ToString()
    {
        var text = new StringBuilder("slots ");
        foreach (var slot in Slots)
        {
            text.Append('"').Append(Encoding.UTF8.GetString(slot.Name).Replace("\"", "\"\"", StringComparison.Ordinal)).Append("\"=");
            text.Append(NameOf(slot.Aggregate)).Append('(').Append(slot.Argument?.ToString() ?? "*").Append(')');
            text.Append(slot.Filter is null ? "" : $" FILTER (WHERE {slot.Filter})").Append(',');
        }

        text.Length--;
        return text.Append(Key is null ? "" : $" BY {Key}").ToString();
    }

    private static string NameOf(Aggregate aggregate) => aggregate == Aggregate.SetAdd ? "SET_ADD" : aggregate.ToString().ToUpperInvariant();

    private static Slot ParseSlot(ExpressionParser parser)
    {
        var name = parser.NeedName("a slot's name");
        parser.Need("=", "behind the slot's name");
        var at = parser.Next;
        if (parser.Take().Kind != TokenKind.Word || !Aggregates.TryGetValue(at.Text, out var aggregate))
        {
            throw ExpressionParser.Error($"Expected one of {string.Join(", ", Aggregates.Keys)}, found {at}.", at);
        }

        parser.Need("(", "behind the aggregate's name");
        var argument = aggregate == Aggregate.Count && parser.Take("*") ? null : parser.Parse();
        parser.Need(")", "to close the aggregate");
        Expression? filter = null;
        if (parser.TakeWord("FILTER"))
        {
            parser.Need("(", "behind FILTER");
            parser.NeedWord("WHERE", "behind FILTER (");
            filter = parser.Parse();
            parser.Need(")", "to close FILTER");
        }

        return new Slot(Encoding.UTF8.GetBytes(name), aggregate, argument, filter);
    }
}
