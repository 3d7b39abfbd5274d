namespace EventVault.Client;

/// <summary>A named limit of the vault was exceeded; nothing was written. Checked by the client before sending.</summary>
public sealed class LimitExceededException : VaultException
{
    internal LimitExceededException(string message, IReadOnlyList<VaultFailure> failures, ExceededLimit exceeded)
        : base(VaultErrorCode.LimitExceeded, message, failures)
    {
        Exceeded = exceeded;
    }

    /// <summary>Name as in <see cref="VaultInfo.Limits"/>, such as <c>event_bytes</c>; the unit is its last word.</summary>
    public string Limit => Exceeded.Limit;

    /// <summary>What was asked for.</summary>
    public ulong Value => Exceeded.Value;

    /// <summary>What is allowed.</summary>
    public ulong Allowed => Exceeded.Allowed;

    /// <summary>The node's setting that raises it; empty if it is fixed.</summary>
    public string Setting => Exceeded.Setting;

    private ExceededLimit Exceeded { get; }
}
