using System.Text;

namespace EventVault.Tidy;

/// <summary>Tells code from comments and strings, well enough for rules about code.</summary>
internal static class CSharpCode
{
    /// <summary>
    /// The text with comments and the contents of strings and characters replaced by spaces; line breaks stay, and so
    /// does the code in the holes of interpolated strings.
    /// </summary>
    public static string WithoutText(string text)
    {
        var result = new StringBuilder(text.Length);
        Code(text, 0, result, inHole: false);
        return result.ToString();
    }

    // Copies code up to the end, or up to the brace that ends a hole; returns where it stopped.
    private static int Code(string text, int at, StringBuilder result, bool inHole)
    {
        var depth = 0;
        while (at < text.Length)
        {
            var c = text[at];
            if (Starts(text, at, "//"))
            {
                at = Blank(text, at, End(text, at, "\n"), result);
            }
            else if (Starts(text, at, "/*"))
            {
                at = Blank(text, at, End(text, at + 2, "*/") + 2, result);
            }
            else if (c == '\'')
            {
                at = Blank(text, at, EndOfCharacter(text, at), result);
            }
            else if (c is '"' or '$' or '@' && Quote(text, at) is { } quote)
            {
                at = String(text, at, quote, result);
            }
            else if (inHole && c == '}' && depth == 0)
            {
                return at;
            }
            else
            {
                depth += c == '{' ? 1 : c == '}' ? -1 : 0;
                result.Append(c);
                at++;
            }
        }

        return at;
    }

    // Where the first quote of a string literal that begins here stands, or null if none does.
    private static int? Quote(string text, int at)
    {
        var quote = at;
        while (quote < text.Length && text[quote] is '$' or '@')
        {
            quote++;
        }

        return quote < text.Length && text[quote] == '"' ? quote : null;
    }

    private static int String(string text, int at, int quote, StringBuilder result)
    {
        var prefix = text[at..quote];
        var dollars = prefix.Count(c => c == '$');
        var verbatim = prefix.Contains('@');
        var quotes = 0;
        while (quote + quotes < text.Length && text[quote + quotes] == '"')
        {
            quotes++;
        }

        if (quotes == 2)
        {
            return Blank(text, at, quote + 2, result);
        }

        var raw = quotes >= 3 && !verbatim;
        var end = new string('"', raw ? quotes : 1);
        at = Blank(text, at, quote + end.Length, result);
        while (at < text.Length)
        {
            if (verbatim && Starts(text, at, "\"\""))
            {
                at = Blank(text, at, at + 2, result);
            }
            else if (Starts(text, at, end))
            {
                return Blank(text, at, at + end.Length, result);
            }
            else if (!raw && !verbatim && text[at] == '\\')
            {
                at = Blank(text, at, at + 2, result);
            }
            else if (!raw && dollars > 0 && Starts(text, at, "{{"))
            {
                at = Blank(text, at, at + 2, result);
            }
            else if (dollars > 0 && Starts(text, at, new string('{', dollars)))
            {
                at = Blank(text, at, at + dollars, result);
                at = Code(text, at, result, inHole: true);
                at = Blank(text, at, Math.Min(text.Length, at + dollars), result);
            }
            else
            {
                at = Blank(text, at, at + 1, result);
            }
        }

        return at;
    }

    private static int EndOfCharacter(string text, int at)
    {
        at++;
        while (at < text.Length && text[at] != '\'' && text[at] != '\n')
        {
            at += text[at] == '\\' ? 2 : 1;
        }

        return at + 1;
    }

    private static int Blank(string text, int from, int to, StringBuilder result)
    {
        to = Math.Min(to, text.Length);
        for (var i = from; i < to; i++)
        {
            result.Append(text[i] == '\n' ? '\n' : ' ');
        }

        return to;
    }

    private static int End(string text, int from, string mark)
    {
        var found = text.IndexOf(mark, from, StringComparison.Ordinal);
        return found < 0 ? text.Length : found;
    }

    private static bool Starts(string text, int at, string what) =>
        string.CompareOrdinal(text, at, what, 0, what.Length) == 0;
}
