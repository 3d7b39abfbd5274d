using System.Text;

namespace EventVault.Node.Security;

/// <summary>The rules for names of users and roles.</summary>
internal static class UserNames
{
    /// <summary>As long as subjects of tokens are at the most, and still to be read in a list.</summary>
    public const int MostBytes = 128;

    /// <summary>Why a name is refused; null if it is fine.</summary>
    public static string? Problem(string name) =>
        name.Length == 0 ? "is empty"
        : Encoding.UTF8.GetByteCount(name) > MostBytes ? "is longer than 128 bytes"
        : name.Contains(':', StringComparison.Ordinal) ? "has a colon, which ends the name where it stands before a password"
        : name.Any(char.IsControl) ? "has a control character"
        : name[0] == '$' ? "begins with $, as only the vault's own names do"
        : null;
}
