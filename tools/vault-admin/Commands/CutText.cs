using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>A moment as one word: <c>latest</c>, <c>v12</c>, <c>p345</c> or a time.</summary>
internal static class CutText
{
    public const string Form = "latest, v12 (a version), p345 (a position) or a time as RFC 3339";

    /// <summary>Reads a moment.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">Name of the option that it was given with.</param>
    /// <exception cref="UsageException">It is none.</exception>
    public static AsOf Parse(string text, string option)
    {
        if (text == "latest")
        {
            return AsOf.Latest;
        }

        if (text.Length > 1 && text[0] is 'v' or 'p' && ulong.TryParse(text.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return text[0] == 'v' ? AsOf.Version(number) : AsOf.Position(number);
        }

        return JsonText.TryParseTime(text, out var time) ? AsOf.Time(time) : throw new UsageException($"{option} '{text}' is no moment: {Form}.");
    }
}
