namespace EventVault.Client;

/// <summary>The text of a reducer breaks the rules of its language, which docs/TEMPORAL.md has. The message says how.</summary>
public sealed class BadReducerException : VaultException
{
    internal BadReducerException(string message, IReadOnlyList<VaultFailure> failures)
        : base(VaultErrorCode.BadReducer, message, failures)
    {
    }

    /// <summary>Where in the text, in characters from its start; null: the node has not said.</summary>
    public uint? TextOffset => Failures[0].TextOffset;
}
