namespace EventVault.Client;

/// <summary>
/// The newest version of the reducer is not the one that was expected: somebody else has defined it. Nothing was recorded.
/// </summary>
public sealed class DefinitionConflictException : VaultException
{
    internal DefinitionConflictException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.DefinitionConflict, message, failures)
    {
    }

    /// <summary>The newest version; null: there is none of that name.</summary>
    public ulong? NewestVersion => Failures[0].Version;
}
