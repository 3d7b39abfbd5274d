using System.Buffers;
using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json.Nodes;
using EventVault.Temporal.Json;

namespace EventVault.Temporal.Tests;

/// <summary>Canonical JSON: equal values, equal bytes.</summary>
public sealed class JsonTests
{
    [Theory]
    [InlineData("0", "0")]
    [InlineData("-0", "0")]
    [InlineData("-0.000e5", "0")]
    [InlineData("0e99999999999999", "0")]
    [InlineData("1.0", "1")]
    [InlineData("100", "100")]
    [InlineData("1e2", "100")]
    [InlineData("1E+2", "100")]
    [InlineData("0.10", "0.1")]
    [InlineData("10e-2", "0.1")]
    [InlineData("-12.50", "-12.5")]
    [InlineData("12345678901234567890123456789", "12345678901234567890123456789")]
    [InlineData("123456789012345678901234567890", "1.2345678901234567890123456789e29")]
    [InlineData("0.0000000000000000000000000001", "0.0000000000000000000000000001")]
    [InlineData("0.00000000000000000000000000001", "1e-29")]
    [InlineData("1e400", "1e400")]
    [InlineData("1.50e-400", "1.5e-400")]
    public void Numbers_have_one_form(string token, string canonical)
    {
        Assert.Equal(canonical, Some.Canonical(token));
        Assert.Equal(canonical, Some.Canonical(canonical));
    }

    [Theory]
    [InlineData("79228162514264337593543950335", true)]
    [InlineData("79228162514264337593543950336", false)]
    [InlineData("7.9228162514264337593543950335", true)]
    [InlineData("7.92281625142643375935439503351", false)]
    [InlineData("1e28", true)]
    [InlineData("1e29", false)]
    [InlineData("1e-28", true)]
    [InlineData("1e-29", false)]
    [InlineData("0.1000000000000000000000000000000000000000000", true)]
    public void A_decimal_is_exact_or_none(string token, bool isDecimal)
    {
        Assert.Equal(isDecimal, JsonNumber.TryDecimal(Encoding.UTF8.GetBytes(token), out var value));
        Assert.Equal(isDecimal ? decimal.Parse(token, NumberStyles.Float, CultureInfo.InvariantCulture) : 0, value);
    }

    [Fact]
    public void Any_way_to_write_a_number_leads_to_the_same_bytes_and_back()
    {
        var random = new Random(7);
        for (var i = 0; i < 20_000; i++)
        {
            var digits = new string([.. Enumerable.Range(0, random.Next(1, 40)).Select(_ => (char)('0' + (random.Next(4) == 0 ? 0 : random.Next(10))))]);
            var exponent = random.Next(-60, 60);
            var whole = BigInteger.Parse(digits, CultureInfo.InvariantCulture);
            var expected = Some.Canonical($"{whole}e{exponent}");

            // Moves the point and the exponent against each other.
            var shift = random.Next(0, digits.Length);
            var (head, tail) = (digits[..^shift].TrimStart('0'), digits[^shift..]);
            var written = $"{(head.Length == 0 ? "0" : head)}{(shift > 0 ? "." + tail : "")}{(random.Next(2) == 0 && shift > 0 ? "000" : "")}E{exponent + shift:+0;-0;+0}";
            Assert.Equal(expected, Some.Canonical(written));
            Assert.Equal(whole.IsZero ? "0" : "-" + expected, Some.Canonical("-" + written));
            if (JsonNumber.TryDecimal(Encoding.UTF8.GetBytes(written), out var value))
            {
                var back = new ArrayBufferWriter<byte>();
                JsonNumber.Write(value, back);
                Assert.Equal(expected, Encoding.UTF8.GetString(back.WrittenSpan));
            }
        }
    }

    [Theory]
    [InlineData("""{ "b" : 1.0, "a": [ {"z":null,"y":2}, "é\/" ], "a1": {} }""", """{"a":[{"y":2,"z":null},"é/"],"a1":{},"b":1}""")]
    [InlineData("""{"\u0061":1,"a":2}""", """{"a":2}""")]
    [InlineData("\"\\u0001\\n\\\"\\\\\\ud83d\\ude00\"", "\"\\u0001\\n\\\"\\\\😀\"")]
    [InlineData("true", "true")]
    [InlineData(" [ ] ", "[]")]
    public void Texts_have_one_form(string text, string canonical) => Assert.Equal(canonical, Some.Canonical(text));

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("1 2")]
    [InlineData("{\"a\":1,}")]
    [InlineData("'a'")]
    [InlineData("\"\\ud83d\"")]
    [InlineData("{\"\\ud83d\":1}")]
    [InlineData("1e99999999999")]
    [InlineData("NaN")]
    public void What_is_no_JSON_is_told(string text) => Assert.False(JsonText.IsValid(Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void Nesting_is_bounded()
    {
        Assert.True(JsonText.IsValid(Encoding.UTF8.GetBytes(new string('[', 64) + new string(']', 64))));
        Assert.False(JsonText.IsValid(Encoding.UTF8.GetBytes(new string('[', 65) + new string(']', 65))));
    }

    [Fact]
    public void The_order_of_members_never_shows()
    {
        var random = new Random(3);
        for (var i = 0; i < 500; i++)
        {
            var value = RandomJson.Object(random, 3);
            Assert.Equal(Some.Canonical(value.ToJsonString()), Some.Canonical(Shuffled(value, random)!.ToJsonString()));
        }
    }

    private static JsonNode? Shuffled(JsonNode? node, Random random)
    {
        switch (node)
        {
            case System.Text.Json.Nodes.JsonObject o:
                var members = o.ToArray();
                random.Shuffle(members);
                return new System.Text.Json.Nodes.JsonObject(members.Select(m => KeyValuePair.Create(m.Key, Shuffled(m.Value, random))));
            case JsonArray a:
                return new JsonArray([.. a.Select(m => Shuffled(m, random))]);
            default:
                return node?.DeepClone();
        }
    }
}
