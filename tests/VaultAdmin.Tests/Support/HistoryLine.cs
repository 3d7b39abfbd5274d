namespace EventVault.Admin.Tests.Support;

/// <summary>Lines of a history, good ones and others.</summary>
internal static class HistoryLine
{
    private const string Id = "92dcc1be-40bf-5d74-998d-daeb3835c277";

    /// <summary>A good line.</summary>
    public static string Good(int batch, int id) => With($"\"batch\":{batch}").Replace(Id, new Guid(id, 0, 0, new byte[8]).ToString(), StringComparison.Ordinal);

    /// <summary>A good line, but for a field that is missing.</summary>
    public static string Without(string field) => Line(Fields().Where(f => f.Name != field).Select(f => f.Text));

    /// <summary>A good line, but for a field that is added or takes the place of another of its name.</summary>
    public static string With(string text) => Line(Fields().Where(f => f.Name != text[1..text.IndexOf('"', 1)]).Select(f => f.Text).Append(text));

    private static string Line(IEnumerable<string> fields) => string.Concat("{", string.Join(',', fields), "}");

    private static (string Name, string Text)[] Fields() =>
    [
        ("batch", "\"batch\":1"), ("stream", "\"stream\":\"s\""), ("id", $"\"id\":\"{Id}\""), ("type", "\"type\":\"T\""), ("data", "\"data\":{}"),
    ];
}
