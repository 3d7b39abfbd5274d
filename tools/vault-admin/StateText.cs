using System.Text;
using System.Text.Json;
using EventVault.Admin.Commands;
using EventVault.Client;

namespace EventVault.Admin;

/// <summary>A state as the commands print it, as JSON and for people.</summary>
internal static class StateText
{
    /// <summary>Writes the state: on a line of its own as JSON, or for people what it is of and then its JSON.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="state">The state.</param>
    /// <param name="time">The instant that it stands for, of many in a history.</param>
    public static void Write(Output output, StreamState state, DateTimeOffset? time = null)
    {
        if (output.Json)
        {
            output.WriteJson(w => WriteJson(w, state, time));
            return;
        }

        output.WriteLine((time is { } t ? JsonText.Time(t) + "  " : "") + Title(state));
        if (state.Exists)
        {
            output.WriteLine("  " + Encoding.UTF8.GetString(state.Json.Span));
        }
    }

    /// <summary>What the state is of, for people.</summary>
    /// <param name="state">The state.</param>
    public static string Title(StreamState state) => state switch
    {
        { Exists: true } => $"{state.Stream} at version {Rows.Number(state.Version!.Value)}, position {Rows.Number(state.Position!.Value)}, recorded {JsonText.Time(state.RecordedAt!.Value)}"
            + (state.PartialFromVersion is { } from ? $"; partial: without the events before version {Rows.Number(from)}" : ""),
        { Deleted: true } => $"{state.Stream} does not exist there: it was deleted before",
        _ => $"{state.Stream} does not exist there: it has no events by then",
    };

    // The first six are what scripts rely on, in this order; the rest may grow.
    private static void WriteJson(Utf8JsonWriter w, StreamState state, DateTimeOffset? time)
    {
        w.WriteStartObject();
        w.WriteString("stream", state.Stream);
        w.WriteBoolean("exists", state.Exists);
        w.WriteNumberOrNull("version", state.Version);
        w.WriteNumberOrNull("position", state.Position);
        w.WriteTime("recordedAt", state.RecordedAt);
        w.WritePropertyName("state");
        w.WriteRawValue(state.Exists ? state.Json.Span : "null"u8, skipInputValidation: true);
        w.WriteTime("occurredAt", state.OccurredAt);
        w.WriteBoolean("deleted", state.Deleted);
        if (state.Exists)
        {
            w.WriteString("stateHash", state.StateHash);
        }

        w.WriteString("reducerHash", state.ReducerHash);
        if (time is { } t)
        {
            w.WriteTime("time", t);
        }

        WriteCut(w, state);
        if (state.PartialFromVersion is { } from)
        {
            w.WriteNumber("partialFromVersion", from);
        }

        WriteCounts(w, state.Counts);
        w.WriteEndObject();
    }

    private static void WriteCut(Utf8JsonWriter w, StreamState state)
    {
        if (state.Token is not { } token)
        {
            return;
        }

        w.WriteStartObject("cut");
        w.WriteNumberOrNull("position", state.Cut.Position);
        w.WriteTime("recordedAt", state.Cut.RecordedAt);
        w.WriteTime("closedTime", state.Cut.ClosedTime);
        w.WriteBoolean("splitsAppend", state.Cut.SplitsAppend);
        w.WriteEndObject();
        w.WriteString("token", token);
    }

    private static void WriteCounts(Utf8JsonWriter w, FoldCounts counts)
    {
        w.WriteStartObject("counts");
        w.WriteNumber("events", counts.Events);
        w.WriteNumber("skipped", counts.Skipped);
        w.WriteNumber("typeMismatches", counts.TypeMismatches);
        w.WriteNumber("errors", counts.Errors);
        w.WriteEndObject();
    }
}
