using System.Text.Json.Nodes;

namespace EventVault.Temporal.Tests;

/// <summary>JSON with few names, so that members meet.</summary>
internal static class RandomJson
{
    private static readonly string[] Names = ["a", "b", "bb", "ü", "z\"z", "data", ""];

    public static JsonObject Object(Random random, int depth)
    {
        var o = new JsonObject();
        for (var members = random.Next(5); members > 0; members--)
        {
            o[Names[random.Next(Names.Length)]] = Value(random, depth - 1);
        }

        return o;
    }

    public static JsonNode? Value(Random random, int depth) => random.Next(depth > 0 ? 9 : 6) switch
    {
        0 => null,
        1 => JsonValue.Create(random.Next(2) == 0),
        2 => JsonValue.Create(random.Next(-3, 4)),
        3 => JsonValue.Create(random.Next(1000) / 8m),
        4 => JsonValue.Create(Names[random.Next(Names.Length)]),
        5 => JsonValue.Create("tab\tand \\ and 😀"),
        6 => new JsonArray([.. Enumerable.Range(0, random.Next(3)).Select(_ => Value(random, depth - 1))]),
        _ => Object(random, depth - 1),
    };
}
