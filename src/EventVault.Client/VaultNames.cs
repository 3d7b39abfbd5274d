using System.Text;

namespace EventVault.Client;

/// <summary>The rules for names of streams.</summary>
internal static class VaultNames
{
    /// <exception cref="VaultException">The name is empty, too long, not valid Unicode or holds a control character.</exception>
    /// <param name="name">The name.</param>
    /// <param name="index">Its place in an append's list; negative: it stands alone.</param>
    /// <param name="limits">The limits that hold.</param>
    /// <param name="list">Name of that list.</param>
    public static void CheckStream(string name, int index, VaultLimits limits, string list = "streams")
    {
        if (name.Length == 0)
        {
            throw VaultErrors.InvalidName(Field(index, list), name, "is empty");
        }

        foreach (char c in name)
        {
            if (char.IsControl(c))
            {
                throw VaultErrors.InvalidName(Field(index, list), name, $"holds the control character U+{(int)c:X4}");
            }
        }

        int size;
        try
        {
            size = WireWriter.Utf8.GetByteCount(name);
        }
        catch (EncoderFallbackException)
        {
            throw VaultErrors.InvalidName(Field(index, list), name, "holds half a surrogate pair, which is no UTF-8");
        }

        if ((ulong)size > limits.StreamName.Allowed)
        {
            throw VaultErrors.LimitExceeded(limits.StreamName, (ulong)size, $"The name in {Field(index, list)} is too long");
        }
    }

    /// <summary>Path of the field that a name stands in, for messages.</summary>
    public static string Field(int index, string list = "streams") => index < 0 ? "stream" : $"{list}[{index}].stream";
}
