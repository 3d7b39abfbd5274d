using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using EventVault.Admin.Commands.Cluster;
using EventVault.Admin.History;
using EventVault.Client;
using EventVault.Storage;

namespace EventVault.Admin;

/// <summary>The one place that turns failures into messages and exit codes.</summary>
internal static class ErrorReport
{
    private const string Interrupted = "INTERRUPTED";

    /// <summary>Tells that the command line is wrong.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="message">What is wrong, and what to write instead.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> UsageAsync(Output output, string message) => WriteAsync(output, "USAGE", message, ExitCode.Usage, null);

    /// <summary>Tells that nobody answers where a node should be.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="message">Where, and what to do.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> UnreachableAsync(Output output, string message) => WriteAsync(output, CodeOf(VaultErrorCode.Unreachable), message, ExitCode.Unreachable, null);

    /// <summary>Tells a failure.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="failure">The failure.</param>
    /// <param name="endpoint">Address of the node.</param>
    /// <param name="command">What was run.</param>
    /// <returns>The exit code.</returns>
    public static Task<int> WriteAsync(Output output, Exception failure, string endpoint, Command command) => failure switch
    {
        UsageException => UsageAsync(output, failure.Message),
        ImportException e => WriteAsync(output, CodeOf(e), e.Message, ExitCodeOf(e), e.WriteDetails),
        AppendConflictException e => WriteConflictAsync(output, e),
        OtherNodeUnreachableException => UnreachableAsync(output, failure.Message),
        VaultException { Code: VaultErrorCode.Unreachable } e => WriteAsync(
            output, CodeOf(e.Code), $"No node could be reached at {endpoint}. Start one there, or name another with --endpoint. ({e.Message})", ExitCode.Unreachable, null),
        VaultException e => WriteAsync(output, CodeOf(e.Code), CommandWords.In(e.Message, command), ExitCodeOf(e), w => WriteFailures(w, e)),
        DamageException e => WriteAsync(output, "DAMAGED", e.Message, ExitCode.Damage, w =>
        {
            w.WriteString("segment", e.File);
            w.WriteNumber("offset", e.Offset);
            w.WriteString("expected", e.Expected);
        }),
        InterruptedException => WriteAsync(output, Interrupted, failure.Message, ExitCode.Failed, null),
        OperationCanceledException => WriteAsync(output, Interrupted, "Interrupted before it was done.", ExitCode.Failed, null),

        // Somebody named it.
        FileNotFoundException or DirectoryNotFoundException => UsageAsync(output, failure.Message),
        IOException or UnauthorizedAccessException => WriteAsync(output, "IO", failure.Message, ExitCode.Failed, null),
        _ => WriteAsync(output, "INTERNAL", $"This is a bug in vault-admin; please report it: {failure}", ExitCode.Failed, null),
    };

    /// <summary>Tells the failure of one of many, which does not end the others.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="stream">The one.</param>
    /// <param name="failure">The failure.</param>
    /// <param name="command">What was run.</param>
    public static void WriteOne(Output output, string stream, VaultException failure, Command command)
    {
        if (!output.Json)
        {
            output.WriteLine($"{stream}: {CommandWords.In(failure.Message, command)}");
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteString("stream", stream);
            w.WriteStartObject("error");
            w.WriteString("code", CodeOf(failure.Code));
            w.WriteString("message", CommandWords.In(failure.Message, command));
            WriteFailures(w, failure);
            w.WriteEndObject();
            w.WriteEndObject();
        });
    }

    /// <summary>The name of a code in the contract, such as <c>WRONG_EXPECTED_VERSION</c>.</summary>
    /// <param name="code">The code.</param>
    public static string CodeOf(VaultErrorCode code)
    {
        var name = new StringBuilder();
        foreach (var c in code.ToString())
        {
            if (char.IsUpper(c) && name.Length > 0)
            {
                name.Append('_');
            }

            name.Append(char.ToUpperInvariant(c));
        }

        return name.ToString();
    }

    private static string CodeOf(ImportException failure) => failure.InnerException switch
    {
        VaultException e => CodeOf(e.Code),
        HistoryException => "INVALID_HISTORY",
        _ => Interrupted,
    };

    // What the vault can't take of a file is no wrong usage.
    private static int ExitCodeOf(ImportException failure) =>
        failure.InnerException is VaultException e && ExitCodeOf(e) is var code and not ExitCode.Usage ? code : ExitCode.Failed;

    private static int ExitCodeOf(VaultException failure) => failure.Code switch
    {
        // A name or a value that can't be meant, whoever finds it: this tool, the client or the node.
        VaultErrorCode.InvalidName or VaultErrorCode.ReservedName or VaultErrorCode.InvalidEvent or VaultErrorCode.InvalidRequest or VaultErrorCode.BadReducer => ExitCode.Usage,
        VaultErrorCode.WrongExpectedVersion or VaultErrorCode.ConditionFailed or VaultErrorCode.DefinitionConflict => ExitCode.Conflict,
        VaultErrorCode.Damaged => ExitCode.Damage,

        // A node that takes connections and never answers is as good as none.
        VaultErrorCode.Unreachable or VaultErrorCode.TimedOut => ExitCode.Unreachable,
        _ => ExitCode.Failed,
    };

    private static async Task<int> WriteConflictAsync(Output output, AppendConflictException e)
    {
        var message = $"Conflict: {string.Join(", ", Parts(e))}. Nothing was written. Read what is new, decide again, and append with that.";
        if (!output.Json)
        {
            Output.Note("vault-admin: " + message);
            return ExitCode.Conflict;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            WriteFirst(w, e);
            w.WriteStartObject("error");
            w.WriteString("code", CodeOf(e.Code));
            w.WriteString("message", message);
            WriteText(w, "stream", e.Stream);
            WriteFirst(w, e);
            WriteAll(w, e);
            WriteList(w, e);
            w.WriteEndObject();
            w.WriteEndObject();
        });
        return await FlushAsync(output, ExitCode.Conflict);
    }

    private static IEnumerable<string> Parts(AppendConflictException e)
    {
        foreach (var conflict in e.Conflicts)
        {
            var actual = conflict.Actual is { } a ? string.Create(CultureInfo.InvariantCulture, $"the last version is {a}") : "the stream has no events";
            yield return $"{conflict.Stream}: {(conflict.IsRequirement ? "required" : "expected")} {conflict.Expected}, but {actual}";
        }

        foreach (var failed in e.FailedConditions)
        {
            yield return string.Create(CultureInfo.InvariantCulture, $"the event at position {failed.Position} matches what must not have happened{(failed.Index > 0 ? $" (condition {failed.Index + 1})" : "")}");
        }
    }

    // The most telling part, for scripts that look no further.
    private static void WriteFirst(Utf8JsonWriter w, AppendConflictException e)
    {
        if (e.Conflicts.Count > 0)
        {
            WriteVersions(w, e.Conflicts[0]);
        }
        else
        {
            w.WriteNumber("position", e.FailedConditions[0].Position);
        }
    }

    private static void WriteAll(Utf8JsonWriter w, AppendConflictException e)
    {
        w.WriteStartArray("conflicts");
        foreach (var conflict in e.Conflicts)
        {
            w.WriteStartObject();
            w.WriteString("stream", conflict.Stream);
            WriteVersions(w, conflict);
            w.WriteBoolean("requirement", conflict.IsRequirement);
            w.WriteEndObject();
        }

        w.WriteEndArray();
        w.WriteStartArray("conditions");
        foreach (var failed in e.FailedConditions)
        {
            w.WriteStartObject();
            w.WriteNumber("index", failed.Index);
            w.WriteNumber("position", failed.Position);
            w.WriteEndObject();
        }

        w.WriteEndArray();
    }

    private static void WriteVersions(Utf8JsonWriter w, VersionConflict conflict)
    {
        if (conflict.Expected.Version is { } version)
        {
            w.WriteNumber("expected", version);
        }
        else
        {
            w.WriteString("expected", conflict.Expected.ToString());
        }

        w.WriteNumberOrNull("actual", conflict.Actual);
    }

    private static void WriteFailures(Utf8JsonWriter w, VaultException e)
    {
        if (e.Failures.Count == 0)
        {
            return;
        }

        // The most telling one beside the message, for scripts that look no further.
        WriteFailure(w, e.Failures[0]);
        WriteList(w, e);
    }

    // One alone is told already.
    private static void WriteList(Utf8JsonWriter w, VaultException e)
    {
        if (e.Failures.Count < 2)
        {
            return;
        }

        w.WriteStartArray("failures");
        foreach (var failure in e.Failures)
        {
            w.WriteStartObject();
            w.WriteString("code", CodeOf(failure.Code));
            w.WriteString("message", failure.Message);
            WriteFailure(w, failure);
            if (failure.Conflict is { } conflict)
            {
                WriteVersions(w, conflict);
            }

            w.WriteEndObject();
        }

        w.WriteEndArray();
    }

    private static void WriteFailure(Utf8JsonWriter w, VaultFailure failure)
    {
        WriteText(w, "stream", failure.Stream);
        WriteText(w, "field", failure.Field);
        WriteText(w, "why", failure.Why);
        if (failure.Index is { } index)
        {
            w.WriteNumber("index", index);
        }

        if (failure.Limit is { } limit)
        {
            w.WriteString("limit", limit.Limit);
            w.WriteNumber("value", limit.Value);
            w.WriteNumber("allowed", limit.Allowed);
            w.WriteString("setting", limit.Setting);
        }

        if (failure.DamagedSegment is { } segment)
        {
            w.WriteString("segment", segment);
            w.WriteNumberOrNull("offset", failure.DamagedOffset);
        }

        if (failure.FirstPosition is { } first)
        {
            w.WriteNumber("firstPosition", first);
        }

        if (failure.Position is { } position)
        {
            w.WriteNumber("position", position);
        }

        if (failure.Floor is { } floor)
        {
            w.WriteNumber("floor", floor);
        }

        WriteStateFailure(w, failure);
        if (failure.OperationId is { } id)
        {
            w.WriteString("operationId", id);
        }

        if (failure.AttemptedAfter is { } seen)
        {
            // As --attempted-after takes it.
            w.WriteString("attemptedAfter", seen.Position is { } p ? p.ToString(CultureInfo.InvariantCulture) : "empty");
        }
    }

    private static void WriteStateFailure(Utf8JsonWriter w, VaultFailure failure)
    {
        if (failure.Earliest is { } earliest)
        {
            w.WriteStartObject("earliest");
            w.WriteNumber("version", earliest.Version);
            w.WriteNumber("position", earliest.Position);
            w.WriteTime("time", earliest.Time);
            w.WriteEndObject();
        }

        if (failure.Version is { } version)
        {
            w.WriteNumber("version", version);
        }

        if (failure.ClosedTime is { } closed)
        {
            w.WriteTime("closedTime", closed);
        }

        if (failure.TextOffset is { } offset)
        {
            w.WriteNumber("textOffset", offset);
        }
    }

    private static void WriteText(Utf8JsonWriter w, string name, string? text)
    {
        if (text is not null)
        {
            w.WriteString(name, text);
        }
    }

    private static async Task<int> WriteAsync(Output output, string code, string message, int exitCode, Action<Utf8JsonWriter>? details)
    {
        if (!output.Json)
        {
            // What was read before the failure belongs before its message.
            var result = await FlushAsync(output, exitCode);
            Output.Note("vault-admin: " + message);
            return result;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteStartObject("error");
            w.WriteString("code", code);
            w.WriteString("message", message);
            details?.Invoke(w);
            w.WriteEndObject();
            w.WriteEndObject();
        });
        return await FlushAsync(output, exitCode);
    }

    private static async Task<int> FlushAsync(Output output, int exitCode)
    {
        try
        {
            await output.FlushAsync();
        }
        catch (Exception e) when (e is OutputClosedException or IOException)
        {
            // Nobody reads the message; the exit code still says what happened.
        }

        return exitCode;
    }
}
