using System.Text;

namespace EventVault.Client;

/// <summary>What a content type says about data.</summary>
internal static class MediaType
{
    /// <summary>Content types of JSON end so (RFC 6839), as in <c>application/problem+json</c>.</summary>
    private const string JsonSuffix = "+json";

    /// <summary>Whether it stands for JSON, by the rule of a node's reducers. Parameters behind a semicolon don't matter, nor do capitals (RFC 2045).</summary>
    public static bool IsJson(string contentType)
    {
        var name = contentType.AsSpan();
        name = name.IndexOf(';') is >= 0 and var end ? name[..end] : name;
        name = name[Ascii.Trim(name)];
        return contentType.Length == 0 || Ascii.EqualsIgnoreCase(name, RecordedEvent.JsonContentType)
            || (name.Length > JsonSuffix.Length && Ascii.EqualsIgnoreCase(name[^JsonSuffix.Length..], JsonSuffix));
    }
}
