namespace EventVault.Temporal.Expressions;

/// <summary>What a piece of text is.</summary>
internal enum TokenKind : byte
{
    /// <summary>The text is over.</summary>
    End,

    /// <summary>A word: a name, a function or a keyword.</summary>
    Word,

    /// <summary>A name in double quotes, which is never a keyword.</summary>
    QuotedName,

    /// <summary>A word behind <c>$</c>.</summary>
    Fact,

    /// <summary>Digits, perhaps with a point and an exponent.</summary>
    Number,

    /// <summary>A text in single quotes.</summary>
    Text,

    /// <summary>An operator, a bracket, a comma or a point.</summary>
    Symbol,
}

/// <summary>A piece of text.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Text">A word, symbol or number as it stands; a name or text without its quotes; a fact without its <c>$</c>.</param>
/// <param name="Offset">Where it begins, in characters.</param>
/// <param name="Length">How long it is there.</param>
internal readonly record struct Token(TokenKind Kind, string Text, int Offset, int Length)
{
    public bool Is(string symbol) => Kind == TokenKind.Symbol && Text == symbol;

    public bool IsWord(string word) => Kind == TokenKind.Word && Text.Equals(word, StringComparison.OrdinalIgnoreCase);

    /// <summary>How an error names it.</summary>
    public override string ToString() => Kind == TokenKind.End ? "the end" : Kind == TokenKind.Text ? $"the text '{Text}'" : $"`{(Kind == TokenKind.Fact ? "$" : "")}{Text}`";
}

/// <summary>Takes a text apart.</summary>
internal static class Lexer
{
    // The longer ones first.
    private static readonly string[] Symbols = ["<>", "!=", "<=", ">=", "==", "<", ">", "=", "(", ")", ",", ".", "+", "-", "*", "/", "%"];

    /// <summary>All its pieces, the end included.</summary>
    /// <exception cref="ExpressionException">A character that belongs to nothing, or a quote that is not closed.</exception>
    public static List<Token> Read(string text)
    {
        var tokens = new List<Token>();
        for (var at = 0; at < text.Length; at += tokens[^1].Length)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }

            if (at < text.Length)
            {
                tokens.Add(Next(text, at));
            }
            else
            {
                break;
            }
        }

        tokens.Add(new Token(TokenKind.End, "", text.Length, 0));
        return tokens;
    }

    private static Token Next(string text, int at)
    {
        var first = text[at];
        if (char.IsAsciiDigit(first))
        {
            return Number(text, at);
        }

        if (first is '\'' or '"')
        {
            return Quoted(text, at);
        }

        if (IsWordStart(first) || (first == '$' && at + 1 < text.Length && IsWordStart(text[at + 1])))
        {
            var end = at + 1;
            while (end < text.Length && (IsWordStart(text[end]) || char.IsAsciiDigit(text[end])))
            {
                end++;
            }

            return first == '$' ? new(TokenKind.Fact, text[(at + 1)..end], at, end - at) : new(TokenKind.Word, text[at..end], at, end - at);
        }

        foreach (var symbol in Symbols)
        {
            if (string.CompareOrdinal(text, at, symbol, 0, symbol.Length) == 0)
            {
                return new(TokenKind.Symbol, symbol, at, symbol.Length);
            }
        }

        throw new ExpressionException($"The character {Shown(first)} means nothing here. Names with such characters go in double quotes, texts in single ones.", at, 1);
    }

    private static Token Number(string text, int at)
    {
        var end = Digits(text, at);
        if (end + 1 < text.Length && text[end] == '.' && char.IsAsciiDigit(text[end + 1]))
        {
            end = Digits(text, end + 1);
        }

        if (end < text.Length && text[end] is 'e' or 'E')
        {
            var exponent = end + 1 < text.Length && text[end + 1] is '+' or '-' ? end + 2 : end + 1;
            if (exponent < text.Length && char.IsAsciiDigit(text[exponent]))
            {
                end = Digits(text, exponent);
            }
        }

        return new(TokenKind.Number, text[at..end], at, end - at);
    }

    private static int Digits(string text, int at)
    {
        while (at < text.Length && char.IsAsciiDigit(text[at]))
        {
            at++;
        }

        return at;
    }

    // A quote within is written twice.
    private static Token Quoted(string text, int at)
    {
        var quote = text[at];
        for (var end = at + 1; end < text.Length; end++)
        {
            if (text[end] == quote)
            {
                if (end + 1 < text.Length && text[end + 1] == quote)
                {
                    end++;
                    continue;
                }

                var content = text[(at + 1)..end].Replace(new string(quote, 2), quote.ToString(), StringComparison.Ordinal);
                return new(quote == '"' ? TokenKind.QuotedName : TokenKind.Text, content, at, end + 1 - at);
            }
        }

        throw new ExpressionException($"The quote {quote} is never closed.", at, text.Length - at);
    }

    private static bool IsWordStart(char c) => char.IsAsciiLetter(c) || c == '_';

    private static string Shown(char c) => char.IsControl(c) || char.IsSurrogate(c) ? $"U+{(int)c:X4}" : $"`{c}`";
}
