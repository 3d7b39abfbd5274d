using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>Retention rules, in the form that was asked for.</summary>
internal static class RetentionLines
{
    /// <summary>Writes what applies to a stream or a category.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="scope">What was asked about.</param>
    /// <param name="applied">The answer.</param>
    public static void Write(Output output, RetentionScope scope, AppliedRetention applied)
    {
        if (!output.Json)
        {
            output.Show(Rows.Of(
                (scope.IsCategory ? "category" : "stream", scope.Name),
                ("keeps", applied.Rule is { } rule ? Text(rule) : "everything: no rule was set"),
                ("said by", applied.From is { } from ? $"{from}" : "nobody"),
                ("legal hold", applied.HeldBy.Count == 0 ? "none" : $"of the {string.Join(" and the ", applied.HeldBy)}")));
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            WriteScope(w, scope);
            WriteRule(w, applied.Rule ?? new RetentionRule());
            if (applied.From is { } from)
            {
                w.WriteStartObject("from");
                WriteScope(w, from);
                w.WriteEndObject();
            }
            else
            {
                w.WriteNull("from");
            }

            w.WriteStartArray("heldBy");
            foreach (var held in applied.HeldBy)
            {
                w.WriteStartObject();
                WriteScope(w, held);
                w.WriteEndObject();
            }

            w.WriteEndArray();
            w.WriteEndObject();
        });
    }

    /// <summary>Writes a rule that was set.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="entry">The rule.</param>
    public static void Write(Output output, RetentionEntry entry)
    {
        if (!output.Json)
        {
            output.WriteLine($"{entry.Scope}  {Text(entry.Rule)}, set at position {Rows.Place(entry.SetAt)}");
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            WriteScope(w, entry.Scope);
            WriteRule(w, entry.Rule);
            w.WriteNumber("setAt", entry.SetAt);
            w.WriteEndObject();
        });
    }

    private static string Text(RetentionRule rule)
    {
        var parts = new List<string>();
        if (rule.MaxAge is { } age)
        {
            parts.Add($"events for {Quantity.Text(age)}");
        }

        if (rule.MaxEvents is { } events)
        {
            parts.Add(events == 1 ? "the last event" : $"the last {Rows.Number(events)} events");
        }

        if (rule.MaxBytes is { } bytes)
        {
            parts.Add($"the last {Quantity.Text(bytes)}");
        }

        if (rule.Forever)
        {
            parts.Add("everything, for ever");
        }

        if (rule.LegalHold)
        {
            parts.Add("legal hold");
        }

        return string.Join(", ", parts);
    }

    private static void WriteScope(Utf8JsonWriter w, RetentionScope scope) => w.WriteString(scope.IsCategory ? "category" : "stream", scope.Name);

    private static void WriteRule(Utf8JsonWriter w, RetentionRule rule)
    {
        w.WriteNumberOrNull("maxAgeSeconds", rule.MaxAge is { } age ? (ulong)age.TotalSeconds : null);
        w.WriteNumberOrNull("maxEvents", rule.MaxEvents);
        w.WriteNumberOrNull("maxBytes", rule.MaxBytes);
        w.WriteBoolean("forever", rule.Forever);
        w.WriteBoolean("legalHold", rule.LegalHold);
    }
}
