using System.CommandLine;
using System.Text.RegularExpressions;

namespace EventVault.Admin;

/// <summary>Nodes speak of the fields and calls of their API: here these are called as they are typed.</summary>
internal static class CommandWords
{
    // A field becomes an option only of a command that has it.
    private static readonly (Regex Api, string Typed)[] Words =
    [
        Word(@"streams\[\d+\]\.expected(\.version)?", "--expected"),
        Word(@"requires\[\d+\](\.\w+)*", "--require"),
        Word(@"(reducer\.inline|definition)\.slots", "--slots"),
        Word(@"grants\[\d+\]", "--allow"),
        Word(@"(?<= in )as_of\.time", "--at-time"),
        Word(@"as_of\.token", "--token"),
        Word(@"rule\.forever", "--forever"),
        Word(@"rule\.max_events", "--max-events"),
        Word(@"rule\.max_bytes", "--max-bytes"),
        Word(@"rule\.max_age_seconds", "--max-age"),
        Word(@"scope\.category", "--category"),
        Word(@"roles\.names", "--role"),
        Word(@"(?<=Ask later, or )set wait", "--wait"),
        Word("allow_partial(?= folds)", "--allow-partial"),
        Word("DefineReducer(?= makes)", "reducers define"),
        Word("ListReducers(?= tells)", "reducers ls"),
        Word("GetReducer(?= tells)", "reducers show"),
        Word("GetRetention(?= says)", "streams retention"),
        Word("GetInfo's operation_floor", "the operation floor in info"),
    ];

    /// <summary>A node's message in the words of the command line.</summary>
    /// <param name="message">The message.</param>
    /// <param name="command">What was run.</param>
    public static string In(string message, Command command)
    {
        var options = command.Options.Select(static o => o.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var (api, typed) in Words)
        {
            message = !typed.StartsWith('-') || options.Contains(typed) ? api.Replace(message, typed) : message;
        }

        return message;
    }

    // Not in the midst of a name or of a call's path.
    private static (Regex Api, string Typed) Word(string api, string typed) => (new Regex($@"(?<![\w./-]){api}(?![\w/-]|\.\w)"), typed);
}
