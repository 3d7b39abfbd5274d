using System.Text;
using EventVault.Temporal.Expressions;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>What expressions take, whoever wrote them: texts are made up to 64 KiB, and room for them is given back on the way.</summary>
public sealed class ExpressionRoomTests
{
    private const int MostText = 64 * 1024;

    [Theory]
    [InlineData("LOWER(a)", "aä")]
    [InlineData("UPPER(a)", "Aä")]
    [InlineData("CONCAT(a)", "aä")]
    [InlineData("COALESCE(LOWER(UPPER(a)), none)", "aä")]
    public void A_text_is_made_up_to_64_KiB_and_is_an_error_beyond(string expression, string unit)
    {
        var reducer = SlotsReducer.Parse($"x = LAST({expression}), n = COUNT({expression} = 'x'), m = COUNT(*)");
        var most = Some.Fold(reducer, Event(Repeated("aä", MostText)));
        Assert.Equal(($$"""{"m":1,"n":1,"x":"{{Repeated(unit, MostText)}}"}""", new FoldCounts(1, 0, 0, 0)), (most.Json(), most.Counts));

        var longer = Some.Fold(reducer, Event(Repeated("aä", MostText) + "a"));
        Assert.Equal(("""{"m":1,"n":0,"x":null}""", new FoldCounts(1, 0, 0, Errors: 2)), (longer.Json(), longer.Counts)); // One for each slot.

        var counted = Some.Fold(SlotsReducer.Parse("n = COUNT(*)"), Event(Repeated("aä", MostText) + "a"));
        Assert.Equal(new FoldCounts(1, 0, 0, 0), counted.Counts);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\\n\\u0041\\\"")]
    public void The_text_of_a_field_may_be_longer_whether_it_has_escapes_or_not(string escapes)
    {
        var (json, text) = (escapes + Repeated("aä", 3 * MostText), (escapes.Length == 0 ? "" : "\\nA\\\"") + Repeated("aä", 3 * MostText));
        var reducer = SlotsReducer.Parse("l = LAST(a), hi = MAX(a), same = LAST(a = b), n = LAST(LENGTH(a)), keys = COUNT(*) FILTER (WHERE a IN ('x', a))");
        var state = Some.Fold(reducer, new SomeEvent($$"""{"a":"{{json}}","b":"{{json}}"}"""));
        Assert.Equal(new FoldCounts(1, 0, 0, 0), state.Counts);
        Assert.Equal($$"""{"hi":"{{text}}","keys":1,"l":"{{text}}","n":{{(2 * MostText) + (escapes.Length == 0 ? 0 : 3)}},"same":true}""", state.Json());
        Assert.Equal($$$"""{"{{{text}}}":{"n":1}}""", Some.Fold(SlotsReducer.Parse("n = COUNT(*) BY a"), Event(json)).Json());
    }

    [Theory]
    [InlineData("x = COUNT(*) FILTER (WHERE 'z' IN (@))", "LOWER(a)", 1000)]
    [InlineData("x = COUNT(*) FILTER (WHERE CASE @ END)", "WHEN LOWER(a) THEN 1 ", 700)]
    [InlineData("x = COUNT(*) FILTER (WHERE @)", "UPPER(a) = 'z' OR ", 800)]
    [InlineData("x = COUNT(*) FILTER (WHERE 'z' IN (@))", "COALESCE(none, CONCAT(a, 'y'))", 400)]
    [InlineData("x = LAST(LENGTH(CONCAT(@)))", "CASE WHEN LENGTH(LOWER(a)) = 0 THEN a END", 64)]
    [InlineData("@", "x# = COUNT(LOWER(a) = 'z')", 256)]
    [InlineData("@", "x# = COUNT(*) FILTER (WHERE LOWER(a))", 256)]
    public void Texts_give_their_room_back(string definition, string piece, int times)
    {
        var reducer = SlotsReducer.Parse(Many(definition, piece, times));
        AssertTakesLittle(reducer, Event(Repeated("Aä", MostText - 4)), MostText);
    }

    [Theory]
    [InlineData("x = COUNT(*) FILTER (WHERE 'z' IN (@))", "a", 1000)]
    [InlineData("@", "x# = COUNT(a = 'z')", 256)]
    [InlineData("x = COUNT(*) FILTER (WHERE @)", "a = 'z' OR ", 900)]
    public void A_field_with_escapes_takes_room_once(string definition, string piece, int times)
    {
        var data = "\\n" + Repeated("aä", 20 * MostText);
        AssertTakesLittle(SlotsReducer.Parse(Many(definition, piece, times)), Event(data), data.Length * 2);
    }

    [Fact]
    public void Room_is_bounded_by_how_deep_an_expression_is_nested()
    {
        const int Levels = 60;
        var fields = new FieldPaths();
        var text = new StringBuilder("LOWER(a)");
        for (var i = 0; i < Levels; i++)
        {
            text.Insert(0, "LOWER(a) = LOWER(a) + LOWER(a) * (").Append(')');
        }

        var expression = new ExpressionParser(text.ToString(), fields).Parse();
        var work = new ExpressionWork(fields.Count);
        var found = new Field[fields.Count];
        var e = Event(Repeated("Aä", MostText - 4)).AsEvent();
        for (var i = 0; i < 3; i++)
        {
            work.Reset();
            Assert.True(fields.TryFind(e.Data, found));
            Assert.True(expression.Evaluate(new EventRow(e, found, work)).IsNull);
            Assert.Equal(0, work.Used);
            Assert.InRange(work.RoomBytes, 3 * Levels * (MostText - 4), 2 * 3 * (Levels + 2) * MostText);
        }
    }

    [Fact]
    public void Texts_that_are_held_while_others_are_made_stay_what_they_are()
    {
        const string Data = """{"a":"x\ny","b":"\u0041b","c":"Cc"}""";
        Assert.Equal("\"x\\nyAbcCx\\nYaBcc12.5true\"", Some.Evaluate("CONCAT(a, CONCAT(b, LOWER('C'), UPPER('c')), CONCAT(LOWER('X'), UPPER('\ny')), LOWER('A'), UPPER('b'), CONCAT(LOWER(c), '', none, '12.'), 5, TRUE)", new SomeEvent(Data)));
        Assert.Equal("true", Some.Evaluate("CONCAT(LOWER(b), c) IN (LOWER(c), CONCAT(b, c), CONCAT('a', 'b', c))", new SomeEvent(Data)));
        Assert.Equal("\"AbAbAb\"", Some.Evaluate("CONCAT(b, CASE WHEN LOWER(c) THEN 'no' WHEN LOWER(c) = 'cc' THEN CONCAT(b, b) END)", new SomeEvent(Data)));
    }

    [Fact]
    public void Random_texts_are_those_of_a_simple_model()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var fields = Enumerable.Range(0, 4).Select(_ => string.Concat(Enumerable.Range(0, random.Next(400)).Select(_ => (char)(random.Next(3) == 0 ? "\n\"\\é"[random.Next(4)] : random.Next('A', 'z'))))).ToArray();
            var data = $"{{{string.Join(',', fields.Select((f, i) => $"\"f{i}\":{System.Text.Json.JsonSerializer.Serialize(f)}"))}}}";
            var (expression, text) = Random(random, fields, depth: 4);
            var (other, otherText) = Random(random, fields, depth: 4);
            Assert.Equal((text == otherText) ? "true" : "false", Some.Evaluate($"{expression} IN ({other}, 'never', {other})", new SomeEvent(data)));
            Assert.Equal(text, System.Text.Json.JsonSerializer.Deserialize<string>(Some.Evaluate(expression, new SomeEvent(data))));
        }
    }

    private static (string Expression, string Text) Random(Random random, string[] fields, int depth)
    {
        var field = random.Next(fields.Length);
        switch (depth == 0 ? 0 : random.Next(6))
        {
            case 1:
                var (lower, lowered) = Random(random, fields, depth - 1);
                return ($"LOWER({lower})", Mapped(lowered, char.ToLowerInvariant));
            case 2:
                var (upper, raised) = Random(random, fields, depth - 1);
                return ($"UPPER({upper})", Mapped(raised, char.ToUpperInvariant));
            case 3:
                var (condition, chosen) = Random(random, fields, depth - 1);
                return ($"CASE WHEN {condition} THEN 'no' WHEN {condition} = {condition} THEN COALESCE(none, LENGTH(none), {condition}) END", chosen);
            case 4 or 5:
                var parts = Enumerable.Range(0, random.Next(1, 5)).Select(_ => Random(random, fields, depth - 1)).ToArray();
                return ($"CONCAT({string.Join(", ", parts.Select(p => p.Expression))}, none, 1.5, NOT TRUE)", string.Concat(parts.Select(p => p.Text)) + "1.5false");
            default:
                return ($"f{field}", fields[field]);
        }
    }

    private static string Mapped(string text, Func<char, char> map) => string.Concat(text.Select(c => char.IsAsciiLetter(c) ? map(c) : c));

    private static void AssertTakesLittle(Reducer reducer, SomeEvent e, long textBytes)
    {
        var state = reducer.Start(FoldLimits.Default);
        new SomeEvent("""{"a":"\n"}""").ApplyTo(state); // Compiled, and on its way.
        var before = GC.GetAllocatedBytesForCurrentThread();
        e.ApplyTo(state);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (16 * MostText) + (6 * textBytes)); // The event itself as well.
        Assert.Equal(0, state.Counts.Errors);
    }

    private static SomeEvent Event(string a) => new($$"""{"a":"{{a}}"}""");

    private static string Many(string definition, string piece, int times)
    {
        var separator = piece.EndsWith(' ') ? "" : ",";
        var pieces = string.Join(separator, Enumerable.Range(0, times).Select(i => piece.Replace("#", $"{i}", StringComparison.Ordinal)));
        return definition.Replace("@", piece.EndsWith("OR ", StringComparison.Ordinal) ? pieces + "FALSE" : pieces, StringComparison.Ordinal);
    }

    // Cut to so many bytes of UTF-8; the unit has three.
    private static string Repeated(string unit, int bytes) => string.Concat(Enumerable.Repeat(unit, bytes / 3)) + new string(unit[0], bytes % 3);
}
