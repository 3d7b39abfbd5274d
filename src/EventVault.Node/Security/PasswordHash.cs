using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace EventVault.Node.Security;

/// <summary>
/// A salted hash of a password: PBKDF2 with HMAC-SHA512, as text <c>pbkdf2-sha512$210000$salt$hash</c> in base64. Nothing that shows one is logged.
/// </summary>
internal sealed class PasswordHash
{
    /// <summary>What OWASP recommends for PBKDF2-HMAC-SHA512: some 0.1 s of one core for each guess.</summary>
    private const int NewIterations = 210_000;

    /// <summary>A stored hash that would keep a core busy for longer than a second is refused as malformed.</summary>
    private const int MostIterations = 4_000_000;

    private const int SaltBytes = 16;
    private const int HashBytes = 32;
    private const string Scheme = "pbkdf2-sha512";

    private readonly int _iterations;
    private readonly byte[] _salt;
    private readonly byte[] _hash;

    private PasswordHash(int iterations, byte[] salt, byte[] hash) => (_iterations, _salt, _hash) = (iterations, salt, hash);

    /// <summary>One that no password has, and that takes as long to find that out: whoever is not known is checked against it.</summary>
    public static PasswordHash OfNobody { get; } = new(NewIterations, RandomNumberGenerator.GetBytes(SaltBytes), RandomNumberGenerator.GetBytes(HashBytes));

    /// <summary>Hashes a password; takes some 0.1 s.</summary>
    /// <param name="password">The password.</param>
    /// <param name="salt">16 bytes, never used for another password.</param>
    public static PasswordHash Of(ReadOnlySpan<byte> password, ReadOnlySpan<byte> salt)
    {
        Invariant.Check(salt.Length == SaltBytes);
        return new PasswordHash(NewIterations, salt.ToArray(), Rfc2898DeriveBytes.Pbkdf2(password, salt, NewIterations, HashAlgorithmName.SHA512, HashBytes));
    }

    /// <summary>The same with a salt of its own.</summary>
    public static PasswordHash Of(string password) => Of(Encoding.UTF8.GetBytes(password), RandomNumberGenerator.GetBytes(SaltBytes));

    /// <summary>Reads the text of one; null if it is none.</summary>
    public static PasswordHash? Parse(string text)
    {
        var parts = text.Split('$');
        if (parts.Length != 4 || parts[0] != Scheme
            || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var iterations) || iterations is < 1 or > MostIterations)
        {
            return null;
        }

        try
        {
            var (salt, hash) = (Convert.FromBase64String(parts[2]), Convert.FromBase64String(parts[3]));
            return salt.Length == SaltBytes && hash.Length == HashBytes ? new PasswordHash(iterations, salt, hash) : null;
        }
        catch (FormatException)
        {
            return null;
        }
    }

    /// <summary>Whether it is that of a password. Takes as long either way.</summary>
    public bool Matches(ReadOnlySpan<byte> password) =>
        CryptographicOperations.FixedTimeEquals(Rfc2898DeriveBytes.Pbkdf2(password, _salt, _iterations, HashAlgorithmName.SHA512, HashBytes), _hash);

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Scheme}${_iterations}${Convert.ToBase64String(_salt)}${Convert.ToBase64String(_hash)}");
}
