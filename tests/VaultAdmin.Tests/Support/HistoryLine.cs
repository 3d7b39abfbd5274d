namespace EventVault.Admin.Tests.Support;

/// <summary>A line of a history with something wrong with it.</summary>
internal static class HistoryLine
{
    /// <summary>A good line, but for a field that is missing.</summary>
    public static string Without(string field) => Line(Fields().Where(f => f.Name != field).Select(f => f.Text));

    /// <summary>A good line, but for a field that is added or takes the place of another of its name.</summary>
    public static string With(string text) => Line(Fields().Where(f => f.Name != text[1..text.IndexOf('"', 1)]).Select(f => f.Text).Append(text));

    private static string Line(IEnumerable<string> fields) => string.Concat("{", string.Join(',', fields), "}");

    private static (string Name, string Text)[] Fields() =>
    [
        ("batch", "\"batch\":1"), ("stream", "\"stream\":\"s\""), ("id", $"\"id\":\"{Guid.NewGuid()}\""), ("type", "\"type\":\"T\""), ("data", "\"data\":{}"),
    ];
}
