using System.Text.Json;

namespace EventVault.Admin.Tests;

/// <summary>What differs between two states in canonical form.</summary>
public sealed class JsonDifferenceTests
{
    [Fact]
    public void Members_are_told_in_the_order_of_their_names_bytes()
    {
        // As UTF-8 the last of these names is the greatest, as UTF-16 it is not.
        Assert.Equal(["-/a", "+/b", "~/c/d~0~1", "-/\uFFFD", "+/😀"], Between("""{"a":1,"c":{"d~/":1,"e":2},"�":1}""", """{"b":1,"c":{"d~/":2,"e":2},"😀":1}"""));
        Assert.Equal(["-/\uFFFD"], Between("""{"�":1,"😀":{"x":[1]}}""", """{"😀":{"x":[1]}}"""));
        Assert.Equal(["~/a"], Between("""{"a":{}}""", """{"a":[]}"""));
        Assert.Empty(Between("""{"a":{"b":1}}""", """{"a":{"b":1}}"""));
    }

    private static string[] Between(string from, string to)
    {
        using var old = JsonDocument.Parse(from);
        using var now = JsonDocument.Parse(to);
        return [.. JsonDifference.Between(old.RootElement, now.RootElement).Select(c => (c.From is null ? "+" : c.To is null ? "-" : "~") + c.Path)];
    }
}
