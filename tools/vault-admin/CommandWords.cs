using System.Text.RegularExpressions;

namespace EventVault.Admin;

/// <summary>Nodes speak of the fields and calls of their API: here these are called as they are typed.</summary>
internal static partial class CommandWords
{
    private static readonly (Regex Api, string Typed)[] Words =
    [
        (Expected(), "--expected"),
        (Required(), "--require"),
        (Slots(), "--slots"),
        (Grants(), "--allow"),
        .. new (string Api, string Typed)[]
        {
            ("as_of.time", "--at-time"),
            ("as_of.token", "--token"),
            ("rule.forever", "--forever"),
            ("rule.max_events", "--max-events"),
            ("rule.max_bytes", "--max-bytes"),
            ("rule.max_age_seconds", "--max-age"),
            ("scope.category", "--category"),
            ("roles.names", "--role"),
            ("set wait", "give --wait"),
            ("allow_partial", "--allow-partial"),
            ("DefineReducer", "reducers define"),
            ("ListReducers", "reducers ls"),
            ("GetReducer", "reducers show"),
            ("GetRetention", "streams retention"),
            ("GetInfo's operation_floor", "the operation floor in info"),
        }.Select(static w => (new Regex($@"(?<![\w.]){Regex.Escape(w.Api)}(?!\w|\.\w)"), w.Typed)),
    ];

    /// <summary>A node's message in the words of the command line.</summary>
    /// <param name="message">The message.</param>
    public static string In(string message)
    {
        foreach (var (api, typed) in Words)
        {
            message = api.Replace(message, typed);
        }

        return message;
    }

    [GeneratedRegex(@"streams\[\d+\]\.expected(\.version)?")]
    private static partial Regex Expected();

    [GeneratedRegex(@"requires\[\d+\](\.\w+)*")]
    private static partial Regex Required();

    [GeneratedRegex(@"(reducer\.inline|definition)\.slots")]
    private static partial Regex Slots();

    [GeneratedRegex(@"grants\[\d+\]")]
    private static partial Regex Grants();
}
