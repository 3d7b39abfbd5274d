namespace EventVault.Storage.Index;

/// <summary>
/// What the indexes know a stream by: the keyed 128-bit hash of its name. Two names share a key with a chance of
/// about 10⁻²¹ at a billion streams, and readers compare the name in the record all the same.
/// </summary>
internal static class StreamKey
{
    /// <summary>The key of a stream; <paramref name="name"/> is its name in UTF-8.</summary>
    public static UInt128 Compute(ReadOnlySpan<byte> name, in SipKey key) => SipHash128.Compute(name, key);
}
