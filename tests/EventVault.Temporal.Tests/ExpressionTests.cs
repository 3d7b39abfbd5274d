using EventVault.Temporal.Expressions;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>The expression language.</summary>
public sealed class ExpressionTests
{
    private const string Data =
        """{"qty":3,"price":"12.50","name":"Zoë","open":true,"none":null,"a":{"b":{"c":7},"list":[1,2]},"filter":9,"big":1e40,"we ird":"x","é":"\u0041\n","data":{"x":1},"neg":-2.5}""";

    [Theory]
    // Fields.
    [InlineData("qty", "3")]
    [InlineData("data.qty", "3")]
    [InlineData("data.data.x", "1")]
    [InlineData("a.b.c", "7")]
    [InlineData("a.b", """{"c":7}""")]
    [InlineData("a.list", "[1,2]")]
    [InlineData("missing", "null")]
    [InlineData("qty.deeper", "null")]
    [InlineData("none", "null")]
    [InlineData("\"we ird\"", "\"x\"")]
    [InlineData("data.\"é\"", "\"A\\n\"")]
    [InlineData("data.filter", "9")]
    [InlineData("\"filter\"", "9")]
    [InlineData("QTY", "null")]
    [InlineData("big", "1e40")]
    // Facts.
    [InlineData("$type", "\"OrderPlaced\"")]
    [InlineData("$STREAM", "\"order-17\"")]
    [InlineData("$version + $position", "110")]
    [InlineData("$time", "\"2026-03-01T09:00:00.0000000Z\"")]
    [InlineData("$occurred", "\"2026-03-01T08:59:59.0000000Z\"")]
    // Numbers, exactly.
    [InlineData("0.1 + 0.2", "0.3")]
    [InlineData("1 - 2 - 3", "-4")]
    [InlineData("2 + 3 * 4", "14")]
    [InlineData("(2 + 3) * 4", "20")]
    [InlineData("- - qty", "3")]
    [InlineData("7 % 4 / 2", "1.5")]
    [InlineData("10 / 4", "2.5")]
    [InlineData("qty * NUMBER(price)", "37.5")]
    [InlineData("qty + none", "null")]
    [InlineData("1.5e3", "1500")]
    // Comparisons and logic.
    [InlineData("qty = 3", "true")]
    [InlineData("qty <> 3", "false")]
    [InlineData("qty != 3.0", "false")]
    [InlineData("name > 'Zo'", "true")]
    [InlineData("open = TRUE", "true")]
    [InlineData("none = none", "null")]
    [InlineData("none IS NULL", "true")]
    [InlineData("qty is not null", "true")]
    [InlineData("missing = 1 OR TRUE", "true")]
    [InlineData("missing = 1 AND FALSE", "false")]
    [InlineData("FALSE OR missing = 1", "null")]
    [InlineData("TRUE AND missing = 1", "null")]
    [InlineData("NOT missing = 1", "null")]
    [InlineData("NOT NOT open", "true")]
    [InlineData("NOT open OR open AND NOT open", "false")]
    [InlineData("qty IN (1, 2, 3)", "true")]
    [InlineData("qty IN ('3', 4)", "false")]
    [InlineData("qty IN (4, NULL)", "null")]
    [InlineData("qty NOT IN (4, 5)", "true")]
    [InlineData("qty BETWEEN 3 AND 4", "true")]
    [InlineData("qty NOT BETWEEN 3 AND 4", "false")]
    // Functions.
    [InlineData("ABS(neg)", "2.5")]
    [InlineData("FLOOR(neg)", "-3")]
    [InlineData("CEILING(neg)", "-2")]
    [InlineData("ROUND(neg)", "-2")]
    [InlineData("ROUND(2.345, 2)", "2.34")]
    [InlineData("COALESCE(missing, none, qty)", "3")]
    [InlineData("LENGTH(name)", "3")]
    [InlineData("LOWER(name)", "\"zoë\"")]
    [InlineData("UPPER(name)", "\"ZOë\"")]
    [InlineData("CONCAT(name, '/', qty, none, open)", "\"Zoë/3true\"")]
    [InlineData("TEXT(1.50)", "\"1.5\"")]
    [InlineData("NUMBER(open)", "1")]
    [InlineData("NUMBER('1e2')", "100")]
    [InlineData("CASE WHEN qty > 5 THEN 'many' WHEN qty > 2 THEN 'some' ELSE 'few' END", "\"some\"")]
    [InlineData("CASE WHEN none THEN 1 END", "null")]
    [InlineData("'it''s'", "\"it's\"")]
    public void Values_are_what_SQL_says(string expression, string json) =>
        Assert.Equal(json, Some.Evaluate(expression, new SomeEvent(Data, "OrderPlaced", Version: 5)));

    [Theory]
    [InlineData("qty + name", 1, 0)]
    [InlineData("name < 3", 1, 0)]
    [InlineData("a = a", 1, 0)]
    [InlineData("big + 1", 1, 0)]
    [InlineData("qty AND open", 1, 0)]
    [InlineData("LENGTH(qty)", 1, 0)]
    [InlineData("NUMBER(' 1')", 1, 0)]
    [InlineData("NUMBER('1,0')", 1, 0)]
    [InlineData("ROUND(qty, 0.5)", 1, 0)]
    [InlineData("qty / 0", 0, 1)]
    [InlineData("79228162514264337593543950335 + qty", 0, 1)]
    [InlineData("FALSE AND qty / 0 = 1", 0, 0)]
    public void What_is_of_another_kind_or_cannot_be_calculated_is_null_and_counted(string expression, int mismatches, int errors)
    {
        var state = Some.Fold(SlotsReducer.Parse($"x = LAST({expression}), n = COUNT(*)"), new SomeEvent(Data));
        Assert.Equal((mismatches, errors), (state.Counts.Mismatches, state.Counts.Errors));
        Assert.Equal(expression.StartsWith("FALSE", StringComparison.Ordinal) ? """{"n":1,"x":false}""" : """{"n":1,"x":null}""", state.Json());
    }

    [Theory]
    [InlineData("x = SUM(qty", 11, "Expected `)` to close the aggregate, found the end.")]
    [InlineData("x = SUM()", 8, "Expected a value, a field or a function, found `)`.")]
    [InlineData("x = TOTAL(qty)", 4, "Expected one of COUNT, SUM, MIN, MAX, AVG, FIRST, LAST, SET_ADD, found `TOTAL`.")]
    [InlineData("x = SUM(*)", 8, "Expected a value, a field or a function, found `*`.")]
    [InlineData("x SUM(qty)", 2, "Expected `=` behind the slot's name, found `SUM`.")]
    [InlineData("x = SUM(qty) y = SUM(qty)", 13, "Expected a comma and another slot, BY and a key, or the end, found `y`.")]
    [InlineData("x = SUM(qty), x = MIN(qty)", 14, "There are two slots `x`.")]
    [InlineData("x = SUM(FOO(qty))", 8, "There is no function `FOO`.")]
    [InlineData("x = SUM(ABS(1, 2))", 15, "More than 1 values here.")]
    [InlineData("x = SUM($moment)", 8, "There is no `$moment`")]
    [InlineData("x = SUM(a.)", 10, "Expected the name of a field behind the point, found `)`.")]
    [InlineData("x = SUM('abc)", 8, "The quote ' is never closed.")]
    [InlineData("x = SUM(a ; b)", 10, "The character `;` means nothing here.")]
    [InlineData("x = SUM(CASE 1 END)", 13, "Expected WHEN behind CASE, found `1`.")]
    [InlineData("x = SUM(1e99)", 8, "The number has more digits than a decimal holds")]
    [InlineData("x = COUNT(*) FILTER (qty > 1)", 21, "Expected WHERE behind FILTER (, found `qty`.")]
    [InlineData("", 0, "Expected a slot's name, found the end.")]
    public void Errors_say_where(string definition, int offset, string message)
    {
        var e = Assert.Throws<ExpressionException>(() => SlotsReducer.Parse(definition));
        Assert.StartsWith(message, e.Message, StringComparison.Ordinal);
        Assert.Equal(offset, e.Offset);
    }

    [Fact]
    public void Definitions_are_bounded()
    {
        foreach (var definition in new[]
        {
            $"x = SUM({new string('(', 70)}1{new string(')', 70)})", $"x = SUM({new string('-', 70)}1)", $"x = SUM(1{string.Concat(Enumerable.Repeat("+1", 1001))})",
            $"x = SUM('{new string('a', 17_000)}')", string.Join(',', Enumerable.Range(0, 257).Select(i => $"x{i}=COUNT(*)")), $"{new string('n', 257)} = COUNT(*)",
            $"x = SUM({string.Join('.', Enumerable.Repeat("a", 65))})",
        })
        {
            Assert.Throws<ExpressionException>(() => SlotsReducer.Parse(definition));
        }

        SlotsReducer.Parse($"x = SUM({new string('(', 60)}1{string.Concat(Enumerable.Repeat("+1", 900))}{new string(')', 60)})");
    }

    [Fact]
    public void BETWEEN_within_BETWEEN_is_bounded_as_each_doubles_what_stands_before_it()
    {
        static string Nested(string inner, int levels) => $"{new string('(', levels)}{inner}{string.Concat(Enumerable.Repeat(" BETWEEN FALSE AND TRUE)", levels))}";
        var e = Assert.Throws<ExpressionException>(() => SlotsReducer.Parse($"x = LAST({Nested("open", 18)})"));
        Assert.StartsWith("Too many BETWEEN within each other", e.Message, StringComparison.Ordinal);
        Assert.Throws<ExpressionException>(() => SlotsReducer.Parse($"x = LAST({Nested($"'{new string('a', 15_000)}' = name", 4)})"));
        Assert.Throws<ExpressionException>(() => SlotsReducer.Parse(string.Join(", ", Enumerable.Range(0, 16).Select(i => $"x{i} = LAST({Nested("open", 9)})"))));

        Assert.Equal("true", Some.Evaluate(Nested("open", 9), new SomeEvent(Data)));
        SlotsReducer.Parse($"x = LAST({string.Join(" AND ", Enumerable.Repeat("qty BETWEEN 1 AND 5", 650))})");
        SlotsReducer.Parse($"x = LAST('{new string('a', 15_000)}' BETWEEN 'a' AND 'b')");
    }

    [Fact]
    public void No_text_does_more_than_be_refused()
    {
        string[] pieces = ["x", "=", "SUM", "COUNT", "(", ")", "*", ",", "qty", ".", "'a'", "\"b\"", "1.5", "-", "AND", "NOT", "IN", "BETWEEN", "CASE", "WHEN", "THEN", "END", "BY", "FILTER", "WHERE", "$type", "IS", "NULL", "é", "'", "\0"];
        var (random, accepted) = (new Random(11), 0);
        for (var i = 0; i < 50_000; i++)
        {
            var text = "x=SUM(" + string.Join(random.Next(2) == 0 ? " " : "", Enumerable.Range(0, random.Next(8)).Select(_ => pieces[random.Next(pieces.Length)])) + (random.Next(3) > 0 ? ")" : "");
            try
            {
                var reducer = SlotsReducer.Parse(text);
                Some.Fold(reducer, new SomeEvent(Data));
                accepted++;
            }
            catch (ExpressionException e)
            {
                Assert.InRange(e.Offset, 0, text.Length);
                Assert.InRange(e.Offset + e.Length, 0, text.Length);
            }
        }

        Assert.True(accepted > 100, $"{accepted} texts were accepted");
    }
}
