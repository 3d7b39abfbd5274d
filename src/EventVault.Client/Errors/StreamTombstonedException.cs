namespace EventVault.Client;

/// <summary>The stream, <see cref="VaultException.Stream"/>, was ended for ever: its name can't be written any more. Use another one.</summary>
public sealed class StreamTombstonedException : VaultException
{
    internal StreamTombstonedException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.StreamTombstoned, message, failures)
    {
    }
}
