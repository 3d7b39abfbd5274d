namespace EventVault.Storage.Log;

#pragma warning disable CA1711 // A stream of events is what it is.
/// <summary>The stream in which the vault keeps definitions of reducers. What stands in them, Storage does not look into.</summary>
public static class ReducersStream
{
    /// <summary>Schema version of its events.</summary>
    public const uint Schema = 1;

    /// <summary>Its name.</summary>
    public static ReadOnlySpan<byte> Name => "$reducers"u8;

    /// <summary>Type of its events.</summary>
    public static ReadOnlySpan<byte> Defined => "$reducer-defined"u8;
}
