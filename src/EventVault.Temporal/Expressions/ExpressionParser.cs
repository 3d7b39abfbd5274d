// The expression language: a small part of SQL.
//
//   or          := and (OR and)*
//   and         := not (AND not)*
//   not         := NOT not | test
//   test        := sum [(= | <> | < | <= | > | >=) sum | IS [NOT] NULL | [NOT] IN (sum, …) | [NOT] BETWEEN sum AND sum]
//   sum         := product ((+ | -) product)*
//   product     := factor ((* | / | %) factor)*
//   factor      := - factor | NUMBER | 'text' | TRUE | FALSE | NULL | (or) | CASE (WHEN or THEN or)+ [ELSE or] END
//                | FUNCTION(or, …) | $fact | field
//   field       := name (. name)*            a field of the event's data; `data.` may stand before it
//   name        := word | "any text"
//
// Words are those of SQL and functions in any letters; names of fields are exact.
using System.Text;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Expressions;

/// <summary>Parses expressions from a text, one after another.</summary>
/// <param name="text">The whole text.</param>
/// <param name="fields">Gathers the fields of the data that are named.</param>
/// <exception cref="ExpressionException">The text can't be taken apart.</exception>
internal sealed class ExpressionParser(string text, FieldPaths fields)
{
    /// <summary>How deep expressions may be nested: they are walked by recursion.</summary>
    public const int MostDepth = 64;

    /// <summary>Operators in one text. A row of them is walked by recursion as well: a thousand fit every stack.</summary>
    private const int MostOperators = 1000;

    /// <summary>Values that IN compares with, one by one.</summary>
    private const int MostValues = 1000;

    /// <summary>
    /// Characters of the text that are worked out, and written into the normal form, once more: BETWEEN compares what stands before it twice, and
    /// within each other each doubles those before. Only texts where several are within each other have more.
    /// </summary>
    private const int MostRepeated = 64 * 1024;

    private static readonly string[] Comparisons = ["=", "==", "<>", "!=", "<", "<=", ">", ">="];

    /// <summary>Not names of fields, unless in double quotes.</summary>
    private static readonly HashSet<string> Reserved = new(StringComparer.OrdinalIgnoreCase)
    {
        "AND", "OR", "NOT", "IS", "IN", "BETWEEN", "NULL", "TRUE", "FALSE", "CASE", "WHEN", "THEN", "ELSE", "END", "FILTER", "WHERE", "BY",
    };

    private readonly List<Token> _tokens = Lexer.Read(text);
    private int _at;
    private int _depth;
    private int _operators;
    private int _repeated;

    /// <summary>The piece that comes next.</summary>
    public Token Next => _tokens[_at];

    /// <summary>Parses an expression; what is behind it stays.</summary>
    /// <exception cref="ExpressionException">It is none, or too deep.</exception>
    public Expression Parse()
    {
        if (++_depth > MostDepth)
        {
            throw Error($"The expression is nested deeper than {MostDepth} levels.", Next);
        }

        var expression = And();
        while (TakeWord("OR"))
        {
            expression = Counted(new Logic("OR", expression, And()));
        }

        _depth--;
        return expression;
    }

    /// <summary>Takes the next piece.</summary>
    public Token Take() => _tokens[_at].Kind == TokenKind.End ? _tokens[_at] : _tokens[_at++];

    /// <summary>Takes a symbol if it comes next.</summary>
    public bool Take(string symbol) => Next.Is(symbol) && Take().Kind == TokenKind.Symbol;

    /// <summary>Takes a keyword if it comes next.</summary>
    public bool TakeWord(string word) => Next.IsWord(word) && Take().Kind == TokenKind.Word;

    /// <summary>Takes a symbol that must come next.</summary>
    public void Need(string symbol, string why)
    {
        if (!Take(symbol))
        {
            throw Error($"Expected `{symbol}` {why}, found {Next}.", Next);
        }
    }

    /// <summary>Takes a keyword that must come next.</summary>
    public void NeedWord(string word, string why)
    {
        if (!TakeWord(word))
        {
            throw Error($"Expected {word} {why}, found {Next}.", Next);
        }
    }

    /// <summary>Takes a name that must come next.</summary>
    public string NeedName(string what)
    {
        if (Next.Kind == TokenKind.QuotedName || (Next.Kind == TokenKind.Word && !Reserved.Contains(Next.Text)))
        {
            return Take().Text;
        }

        throw Error($"Expected {what}, found {Next}.", Next);
    }

    /// <summary>An error at a piece.</summary>
    public static ExpressionException Error(string message, in Token at) => new(message, at.Offset, at.Length);

    private Expression Counted(Expression expression) =>
        ++_operators <= MostOperators ? expression : throw Error($"More than {MostOperators} operators.", Next);

    private Expression And()
    {
        var expression = Not();
        while (TakeWord("AND"))
        {
            expression = Counted(new Logic("AND", expression, Not()));
        }

        return expression;
    }

    private Expression Not()
    {
        var negations = 0;
        while (TakeWord("NOT"))
        {
            negations++;
        }

        var expression = Test();
        return negations == 0 ? expression : negations % 2 == 1 ? new Logic("NOT", expression, null) : new Logic("NOT", new Logic("NOT", expression, null), null);
    }

    private Expression Test()
    {
        var (begin, repeated) = (Next, _repeated);
        var left = Sum();
        if (Next.Kind == TokenKind.Symbol && Comparisons.Contains(Next.Text))
        {
            var symbol = Take().Text;
            return new Comparison(symbol switch { "==" => "=", "!=" => "<>", _ => symbol }, left, Sum());
        }

        if (TakeWord("IS"))
        {
            var isNull = !TakeWord("NOT");
            NeedWord("NULL", "behind IS");
            return new NullTest(left, isNull);
        }

        var isNegated = Next.IsWord("NOT") && (_tokens[_at + 1].IsWord("IN") || _tokens[_at + 1].IsWord("BETWEEN")) && TakeWord("NOT");
        Expression? test = null;
        if (TakeWord("IN"))
        {
            Need("(", "behind IN");
            test = new Membership(left, List(MostValues));
        }
        else if (TakeWord("BETWEEN"))
        {
            Repeat(begin, _repeated - repeated);
            var low = Sum();
            NeedWord("AND", "between the two ends of BETWEEN");
            test = new Logic("AND", new Comparison(">=", left, low), new Comparison("<=", left, Sum()));
        }

        return test is null ? left : isNegated ? new Logic("NOT", test, null) : test;
    }

    // What was read since then is there twice, and so is what was there twice in it.
    private void Repeat(in Token begin, int repeatedWithin)
    {
        _repeated += Next.Offset - begin.Offset + repeatedWithin;
        if (_repeated > MostRepeated)
        {
            throw Error("Too many BETWEEN within each other: each works out what stands before it twice.", begin);
        }
    }

    private Expression Sum()
    {
        var expression = Product();
        while (Next.Is("+") || Next.Is("-"))
        {
            expression = Counted(new Arithmetic(Take().Text[0], expression, Product()));
        }

        return expression;
    }

    private Expression Product()
    {
        var expression = Factor();
        while (Next.Is("*") || Next.Is("/") || Next.Is("%"))
        {
            expression = Counted(new Arithmetic(Take().Text[0], expression, Factor()));
        }

        return expression;
    }

    private Expression Factor()
    {
        var token = Next;
        switch (token.Kind)
        {
            case TokenKind.Symbol when Take("-"):
                return Negative(token);
            case TokenKind.Symbol when Take("("):
                var inner = Parse();
                Need(")", "to close the bracket");
                return inner;
            case TokenKind.Number:
                return JsonNumber.TryDecimal(Encoding.UTF8.GetBytes(Take().Text), out var number)
                    ? new Literal(number)
                    : throw Error("The number has more digits than a decimal holds, which is 28.", token);
            case TokenKind.Text:
                return new Literal(Encoding.UTF8.GetBytes(Take().Text));
            case TokenKind.Fact:
                return Fact(Take());
            case TokenKind.Word when _tokens[_at + 1].Is("(") && !Reserved.Contains(token.Text):
                return CallOf(Take());
            case TokenKind.Word when TakeWord("TRUE"):
                return new Literal(true);
            case TokenKind.Word when TakeWord("FALSE"):
                return new Literal(false);
            case TokenKind.Word when TakeWord("NULL"):
                return new Literal();
            case TokenKind.Word when TakeWord("CASE"):
                return Case();
            default:
                return Path(NeedName("a value, a field or a function"), token.Kind == TokenKind.Word);
        }
    }

    // Signs in a row count as one level each: they are walked by recursion, too.
    private Arithmetic Negative(in Token sign)
    {
        if (++_depth > MostDepth)
        {
            throw Error($"The expression is nested deeper than {MostDepth} levels.", sign);
        }

        var operand = Factor();
        _depth--;
        return new Arithmetic('-', operand, null);
    }

    private static FactField Fact(in Token token) =>
        Enum.TryParse<EventFact>(token.Text, ignoreCase: true, out var fact) && !char.IsAsciiDigit(token.Text[0])
            ? new FactField(fact)
            : throw Error($"There is no {token}: $stream, $type, $version, $position, $time and $occurred are there.", token);

    private Call CallOf(in Token name)
    {
        if (!Function.All.TryGetValue(name.Text, out var function))
        {
            throw Error($"There is no function {name}. These are there: {string.Join(", ", Function.All.Keys)}.", name);
        }

        Need("(", "behind the function's name");
        var arguments = Next.Is(")") && Take(")") ? [] : List(function.Most);
        return arguments.Length >= function.Least && arguments.Length <= function.Most
            ? new Call(function, arguments)
            : throw Error($"{function.Name} takes {(function.Least == function.Most ? $"{function.Least}" : $"{function.Least} to {function.Most}")} arguments, found {arguments.Length}.", name);
    }

    // Up to the closing bracket.
    private Expression[] List(int most)
    {
        var list = new List<Expression>();
        do
        {
            if (list.Count == most)
            {
                throw Error($"More than {most} values here.", Next);
            }

            list.Add(Parse());
        }
        while (Take(","));
        Need(")", "to close the list");
        return [.. list];
    }

    private Choice Case()
    {
        var cases = new List<(Expression, Expression)>();
        while (TakeWord("WHEN"))
        {
            var condition = Parse();
            NeedWord("THEN", "behind the condition of WHEN");
            cases.Add((condition, Parse()));
        }

        if (cases.Count == 0)
        {
            throw Error($"Expected WHEN behind CASE, found {Next}.", Next);
        }

        var otherwise = TakeWord("ELSE") ? Parse() : new Literal();
        NeedWord("END", "to close CASE");
        return new Choice([.. cases], otherwise);
    }

    private DataField Path(string first, bool mayBeData)
    {
        var path = new List<byte[]>();
        if (!mayBeData || first != "data")
        {
            path.Add(Encoding.UTF8.GetBytes(first));
        }

        while (Take("."))
        {
            // Behind a point a word is a name, whatever it means elsewhere.
            path.Add(Encoding.UTF8.GetBytes(Next.Kind == TokenKind.Word ? Take().Text : NeedName("the name of a field behind the point")));
        }

        return path.Count <= JsonText.MostDepth
            ? new DataField(path, fields.Add(path))
            : throw Error($"No field is deeper than {JsonText.MostDepth} levels.", Next);
    }
}
