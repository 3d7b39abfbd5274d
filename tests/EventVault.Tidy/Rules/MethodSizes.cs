using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>A method fits a screen.</summary>
internal static partial class MethodSizes
{
    /// <summary>From the opening brace to the closing one.</summary>
    public const int MostLines = 70;

    private static readonly (string Path, string Method, string Reason)[] Exceptions =
    [
        ("src/EventVault.Storage/Log/EventFields.cs", " Walk(", "One switch with a few lines for each field, in the order of the message: apart they could not be held against it."),
    ];

    public static IEnumerable<Violation> Check(SourceFile file)
    {
        var open = new Stack<(int Line, string Header)>();
        var header = string.Empty;
        for (var i = 0; i < file.Code.Length; i++)
        {
            foreach (var c in file.Code[i])
            {
                switch (c)
                {
                    case '{':
                        open.Push((i, header.Trim()));
                        header = string.Empty;
                        break;
                    case '}' when open.TryPop(out var block):
                        if (i - block.Line + 1 > MostLines && IsMethod(block.Header)
                            && !Exceptions.Any(e => e.Path == file.Path && block.Header.Contains(e.Method, StringComparison.Ordinal)))
                        {
                            yield return new Violation(
                                file.Path, block.Line + 1, $"a method of {i - block.Line + 1} lines; {MostLines} are the most. Name its parts and make them methods.");
                        }

                        header = string.Empty;
                        break;
                    case ';':
                        header = string.Empty;
                        break;
                    default:
                        header += c;
                        break;
                }
            }

            header += ' ';
        }
    }

    private static bool IsMethod(string header) => header.Contains('(') && !NoMethod().IsMatch(header);

    [GeneratedRegex(@"\b(class|struct|record|interface|enum|namespace|if|else|for|foreach|while|do|switch|using|lock|try|catch|finally|fixed|new)\b")]
    private static partial Regex NoMethod();
}
