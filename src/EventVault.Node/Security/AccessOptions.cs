using System.Text;

namespace EventVault.Node.Security;

/// <summary>How callers show who they are, beside certificates (<see cref="TlsFiles.ClientAuthorities"/>) and the users of the vault.</summary>
internal sealed record AccessOptions
{
    /// <summary>A shorter one could be guessed, however long each guess takes.</summary>
    private const int LeastPasswordBytes = 12;

    // Otherwise all bytes that are none would be the same character, and another password as good as the right one.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>File with the password of the built-in administrator; null: that one comes with a certificate only.</summary>
    public string? AdminPasswordFile { get; init; }

    /// <summary>Which tokens count; null: none.</summary>
    public TokenOptions? Tokens { get; init; }

    /// <summary>Reads the password of the built-in administrator, and hashes it. Takes some 0.1 s.</summary>
    /// <exception cref="ArgumentException">It is too short, or no UTF-8.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public PasswordHash ReadAdminPassword() => PasswordHash.Of(AdminPassword());

    /// <summary>The password of the built-in administrator.</summary>
    /// <exception cref="ArgumentException">It is too short, or no UTF-8.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public string AdminPassword()
    {
        string password;
        try
        {
            password = File.ReadAllText(AdminPasswordFile!, StrictUtf8).TrimEnd('\r', '\n');
        }
        catch (DecoderFallbackException)
        {
            throw new ArgumentException($"The password in {AdminPasswordFile} is not UTF-8. vault-admin users init makes a file with a good one.");
        }

        return Encoding.UTF8.GetByteCount(password) >= LeastPasswordBytes
            ? password
            : throw new ArgumentException($"The password in {AdminPasswordFile} is shorter than {LeastPasswordBytes} bytes. vault-admin users init makes a file with a good one.");
    }
}
