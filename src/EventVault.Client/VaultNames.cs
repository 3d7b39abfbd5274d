using System.Text;

namespace EventVault.Client;

/// <summary>The rules for names of streams.</summary>
internal static class VaultNames
{
    /// <exception cref="VaultException">The name is empty, too long, not valid Unicode or holds a control character.</exception>
    public static void CheckStream(string name, string field, VaultLimits limits)
    {
        if (name.Length == 0)
        {
            throw VaultErrors.InvalidName(field, name, "is empty");
        }

        foreach (char c in name)
        {
            if (char.IsControl(c))
            {
                throw VaultErrors.InvalidName(field, name, $"holds the control character U+{(int)c:X4}");
            }
        }

        int size;
        try
        {
            size = WireWriter.Utf8.GetByteCount(name);
        }
        catch (EncoderFallbackException)
        {
            throw VaultErrors.InvalidName(field, name, "holds half a surrogate pair, which is no UTF-8");
        }

        if ((ulong)size > limits.StreamName.Allowed)
        {
            throw VaultErrors.LimitExceeded(limits.StreamName, (ulong)size, $"The name in {field} is too long");
        }
    }
}
