// The fields of `data` that a reducer looks at, found in one pass over the text: nothing is made of the rest. Fields are
// numbered; each number leads to where its value stands.
using System.Text.Json;
using EventVault.Storage.Log;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Expressions;

/// <summary>Fields to be found in an event's data. Immutable once the reducer is made; shared by threads.</summary>
internal sealed class FieldPaths
{
    private readonly Step _root = new();

    /// <summary>How many different fields there are.</summary>
    public int Count { get; private set; }

    /// <summary>The number of a field.</summary>
    /// <param name="path">Names from the outside in, UTF-8; none: all of data.</param>
    public int Add(IReadOnlyList<byte[]> path)
    {
        var step = _root;
        foreach (var name in path)
        {
            if (!step.Next.TryGetValue(name, out var next))
            {
                step.Next[name] = next = new Step();
            }

            step = next;
        }

        if (step.Field < 0)
        {
            step.Field = Count++;
        }

        return step.Field;
    }

    /// <summary>Finds the fields in an event's data. Of equal names the last one counts.</summary>
    /// <param name="fields">One for each number.</param>
    /// <returns>False if the data is no JSON, or what was looked at is no text.</returns>
    public bool TryFind(ReadOnlySpan<byte> data, Span<Field> fields)
    {
        Invariant.Check(fields.Length == Count);
        fields.Clear();
        try
        {
            var reader = JsonText.Read(data);
            byte[] buffer = [];
            if (!reader.Read())
            {
                return false;
            }

            Take(_root, ref reader, fields, ref buffer);
            return !reader.Read(); // Anything behind the value throws.
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not JSON, or half of a surrogate pair that stands for nothing.
            return false;
        }
    }

    private static void Take(Step step, ref Utf8JsonReader reader, Span<Field> fields, ref byte[] buffer)
    {
        var (kind, start) = (reader.TokenType, (int)reader.TokenStartIndex);
        var isEscaped = reader.ValueIsEscaped;
        if (isEscaped && step.Field >= 0)
        {
            JsonText.Text(ref reader, ref buffer); // Throws if it is no text.
        }

        if (kind == JsonTokenType.StartObject && step.Next.Count > 0)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var found = step.ByName.TryGetValue(JsonText.Text(ref reader, ref buffer), out var next);
                reader.Read();
                if (found)
                {
                    Forget(next!, fields);
                    Take(next!, ref reader, fields, ref buffer);
                }
                else
                {
                    reader.Skip();
                }
            }
        }
        else
        {
            reader.Skip();
        }

        if (step.Field >= 0)
        {
            fields[step.Field] = new Field(kind, start, (int)reader.BytesConsumed - start, isEscaped);
        }
    }

    // An object of the same name before this one may have had fields that this one does not have.
    private static void Forget(Step step, Span<Field> fields)
    {
        if (step.Field >= 0)
        {
            fields[step.Field] = default;
        }

        foreach (var next in step.Next.Values)
        {
            Forget(next, fields);
        }
    }

    private sealed class Step
    {
        public Step() => ByName = Next.GetAlternateLookup<ReadOnlySpan<byte>>();

        public Dictionary<byte[], Step> Next { get; } = new(Utf8Comparer.Ordinal);

        public Dictionary<byte[], Step>.AlternateLookup<ReadOnlySpan<byte>> ByName { get; }

        public int Field { get; set; } = -1;
    }
}

/// <summary>Where a field's value stands in the data. The default: it does not.</summary>
/// <param name="Kind">Its first token.</param>
/// <param name="Start">Offset of its first byte.</param>
/// <param name="Length">Bytes up to its end, quotes and brackets included.</param>
/// <param name="IsEscaped">A string that has escapes.</param>
internal readonly record struct Field(JsonTokenType Kind, int Start, int Length, bool IsEscaped);
