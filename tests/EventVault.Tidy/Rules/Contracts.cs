using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>What users rely on is written down as the code has it: errors, settings, exit codes.</summary>
internal static partial class Contracts
{
    /// <summary>Every reason of the errors file stands in the table of the protocol, beside the status it comes with.</summary>
    public static IEnumerable<Violation> CheckErrors(SourceFile proto, SourceFile protocol)
    {
        var status = string.Empty;
        for (var i = 0; i < proto.Lines.Length; i++)
        {
            if (StatusComment().Match(proto.Lines[i]) is { Success: true } comment)
            {
                status = comment.Groups["status"].Value;
            }

            if (Reason().Match(proto.Lines[i]) is { Success: true } reason && reason.Groups["reason"].Value is var name && name != "UNSPECIFIED"
                && !protocol.Lines.Any(l => l.StartsWith($"| {status} | `{name}` |", StringComparison.Ordinal)))
            {
                yield return new Violation(proto.Path, i + 1, $"{protocol.Path} has no row \"| {status} | `{name}` |\" in its table of errors. Add it.");
            }
        }
    }

    /// <summary>The reference of errors has a row for each code of the client's own, and none for a reason or code that there is not.</summary>
    /// <param name="proto">Has the reasons.</param>
    /// <param name="codes">Has the client's codes, those of its own from 100 on.</param>
    /// <param name="errors">The reference.</param>
    public static IEnumerable<Violation> CheckErrorReference(SourceFile proto, SourceFile codes, SourceFile errors)
    {
        var own = codes.Lines.Select(l => OwnCode().Match(l)).Where(m => m.Success).Select(m => Humps().Replace(m.Groups["code"].Value, "_").ToUpperInvariant()).ToList();
        if (own.Count == 0)
        {
            yield return new Violation(codes.Path, 0, "no code of the client's own was found in it. Mend Contracts.OwnCode.");
        }

        foreach (var code in own.Where(c => !errors.Lines.Any(l => l.StartsWith($"| `{c}` |", StringComparison.Ordinal))))
        {
            yield return new Violation(errors.Path, 0, $"has no row \"| `{code}` |\" for a code of the client's own. Add it.");
        }

        var known = proto.Lines.Select(l => Reason().Match(l)).Where(m => m.Success).Select(m => m.Groups["reason"].Value).Concat(own).ToHashSet(StringComparer.Ordinal);
        for (var i = 0; i < errors.Lines.Length; i++)
        {
            if (ErrorRow().Match(errors.Lines[i]) is { Success: true } row && !known.Contains(row.Groups["reason"].Value))
            {
                yield return new Violation(errors.Path, i + 1, $"{row.Groups["reason"].Value} is no reason of {proto.Path} and no code of {codes.Path}. Remove the row.");
            }
        }
    }

    /// <summary>Every setting of the node stands in the table of settings.</summary>
    public static IEnumerable<Violation> CheckSettings(SourceFile settings, SourceFile operations)
    {
        if (!settings.Lines.Any(l => Setting().IsMatch(l)))
        {
            yield return new Violation(settings.Path, 0, "no setting was found in it: this rule no longer knows what one looks like. Mend Contracts.Setting.");
        }

        for (var i = 0; i < settings.Lines.Length; i++)
        {
            if (Setting().Match(settings.Lines[i]) is { Success: true } setting
                && !operations.Lines.Any(l => l.StartsWith('|') && l.Split('|')[1].Contains($"`{setting.Groups["name"].Value}`", StringComparison.Ordinal)))
            {
                yield return new Violation(settings.Path, i + 1, $"{operations.Path} has no row for the setting {setting.Groups["name"].Value}. Add it.");
            }
        }
    }

    /// <summary>Every limit that GetInfo serves stands in the table of limits.</summary>
    public static IEnumerable<Violation> CheckLimits(SourceFile limits, SourceFile protocol)
    {
        for (var i = 0; i < limits.Lines.Length; i++)
        {
            if (Limit().Match(limits.Lines[i]) is { Success: true } limit
                && !protocol.Lines.Any(l => l.StartsWith('|') && l.Split('|')[1].Contains($"`{limit.Groups["name"].Value}`", StringComparison.Ordinal)))
            {
                yield return new Violation(limits.Path, i + 1, $"{protocol.Path} has no row for the limit {limit.Groups["name"].Value}. Add it.");
            }
        }
    }

    /// <summary>Every exit code stands in the table of exit codes.</summary>
    /// <param name="codes">Has the constants.</param>
    /// <param name="operations">Has the table.</param>
    /// <param name="column">1: the node; 2: vault-admin.</param>
    public static IEnumerable<Violation> CheckExitCodes(SourceFile codes, SourceFile operations, int column)
    {
        for (var i = 0; i < codes.Lines.Length; i++)
        {
            if (Code().Match(codes.Lines[i]) is { Success: true } code
                && !operations.Lines.Any(l => l.StartsWith($"| {code.Groups["code"].Value} |", StringComparison.Ordinal) && l.Split('|') is { Length: 5 } row && row[column + 1].Trim().Length > 0))
            {
                yield return new Violation(codes.Path, i + 1, $"{operations.Path} does not say what exit code {code.Groups["code"].Value} means. Add it to the table.");
            }
        }
    }

    [GeneratedRegex(@"^\s*// (?<status>[A-Z_]+)$")]
    private static partial Regex StatusComment();

    [GeneratedRegex(@"^\s*REASON_(?<reason>[A-Z_]+) = \d+;")]
    private static partial Regex Reason();

    [GeneratedRegex(@"^    (?<code>[A-Z]\w+) = [1-9]\d\d,")]
    private static partial Regex OwnCode();

    [GeneratedRegex("(?<=[a-z])(?=[A-Z])")]
    private static partial Regex Humps();

    [GeneratedRegex(@"^\| ([A-Z_]+ \| )?`(?<reason>[A-Z_]+)` \|")]
    private static partial Regex ErrorRow();

    [GeneratedRegex(@"^\s*new\(""(?<name>[a-z-]+)"", ""[A-Z]*"", """)]
    private static partial Regex Setting();

    [GeneratedRegex(@"(new\(|const string \w+ = )""(?<name>[a-z]+(_[a-z]+)+)""")]
    private static partial Regex Limit();

    [GeneratedRegex(@"\bconst int \w+ = (?<code>\d+);")]
    private static partial Regex Code();
}
