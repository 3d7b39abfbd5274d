using System.Security.Cryptography;

namespace EventVault.Temporal;

/// <summary>States that clients fold and keep here: bytes that mean nothing to the vault.</summary>
internal static class ClientState
{
    /// <summary>Events between two kept states: fewer are read as fast as a state is, and states should not outgrow the log.</summary>
    public const int LeastEvents = 128;

    /// <summary>What stands for the hash of the state.</summary>
    public static byte[] HashOf(ReadOnlySpan<byte> state) => SHA256.HashData(state);

    /// <summary>The bytes, if they are those that were kept.</summary>
    public static byte[]? Restore(ReadOnlySpan<byte> saved, ReadOnlySpan<byte> hash) => HashOf(saved).AsSpan().SequenceEqual(hash) ? saved.ToArray() : null;
}
