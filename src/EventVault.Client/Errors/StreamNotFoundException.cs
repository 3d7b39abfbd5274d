namespace EventVault.Client;

/// <summary>The stream that was asked for, <see cref="VaultException.Stream"/>, has no events.</summary>
public sealed class StreamNotFoundException : VaultException
{
    internal StreamNotFoundException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.StreamNotFound, message, failures)
    {
    }
}
