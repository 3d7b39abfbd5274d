using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>Nobody blocks a thread of the pool on a task, and no exception gets lost in an async void.</summary>
internal static partial class Blocking
{
    /// <summary>Where `.Result` is a property of ours, or the task is known to be done.</summary>
    private static readonly (string Path, string Code, string Reason)[] Exceptions =
    [
        ("src/EventVault.Client/Appends/", "answer.Result", "A field of the answer on the wire."),
        ("src/EventVault.Client/Appends/", "append.Result", "What a pending append came to."),
        ("src/EventVault.Node/Scrub.cs", "compared.Result", "Known to be done: a thread looks at it between its steps."),
        ("src/EventVault.Node/Scrub.cs", "repair.Result", "Likewise."),
        ("src/EventVault.Node/Peers/BeginningAnew.cs", "WaitAsync(end).GetAwaiter().GetResult()", "On the thread that opens the storage, which has nothing else to do."),
        ("src/EventVault.Storage/Io/WorkAhead.cs", "_ended.Wait()", "Of whoever walks a segment, for work that another thread is in the middle of, never for one that has to begin it."),
    ];

    public static IEnumerable<Violation> Check(SourceFile file)
    {
        for (var i = 0; i < file.Code.Length; i++)
        {
            var code = file.Code[i];
            foreach (var (path, allowed, _) in Exceptions)
            {
                code = file.IsUnder(path) ? code.Replace(allowed, string.Empty, StringComparison.Ordinal) : code;
            }

            if (Blocks().Match(code) is { Success: true } match)
            {
                yield return new Violation(
                    file.Path, i + 1, $"`{match.Value.Trim()}`: await it, or return the task. If it is not a task's, or the task is known to be done, add it to Blocking.Exceptions with the reason.");
            }
        }
    }

    [GeneratedRegex(@"\.Result\b|\.Wait\(\)|\.GetAwaiter\(\)\s*\.GetResult\(\)|\basync\s+void\b")]
    private static partial Regex Blocks();
}
