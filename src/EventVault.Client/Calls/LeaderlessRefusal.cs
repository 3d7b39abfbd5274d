namespace EventVault.Client;

/// <summary>
/// What to tell of a call that is given up while no leader is known: that a node which answers knows of none says more than that the next one, asked in its
/// place, is away. Not so once all have been away since.
/// </summary>
/// <param name="nodes">How many there are.</param>
internal sealed class LeaderlessRefusal(NodeRoster nodes)
{
    private volatile VaultException? _refusal;
    private int _awaySince; // Attempts in a row behind it that reached nobody.

    /// <summary>An attempt failed. One caller at a time.</summary>
    public void Failed(VaultException failure)
    {
        if (failure.Code == VaultErrorCode.NoQuorum || failure is { Code: VaultErrorCode.NotLeader, LeaderAddress: null })
        {
            (_refusal, _awaySince) = (failure, 0);
        }
        else if (failure.Code != VaultErrorCode.Unreachable || ++_awaySince > nodes.Count)
        {
            _refusal = null;
        }
    }

    /// <summary>The attempts that come are of another call, or a leader was found. For every thread.</summary>
    public void Clear() => _refusal = null;

    /// <summary>The failure to tell. For every thread.</summary>
    /// <param name="last">Of the last attempt; null: none has failed.</param>
    public VaultException? InPlaceOf(VaultException? last) => last?.Code == VaultErrorCode.Unreachable ? _refusal ?? last : last;
}
