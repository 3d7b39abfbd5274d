namespace EventVault.Client;

/// <summary>There is no reducer of that name, or no such version of it.</summary>
public sealed class ReducerNotFoundException : VaultException
{
    internal ReducerNotFoundException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.ReducerNotFound, message, failures)
    {
    }
}
