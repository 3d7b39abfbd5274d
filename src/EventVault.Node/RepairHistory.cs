namespace EventVault.Node;

/// <summary>
/// Which segments were replaced since the process began: a node is opened anew for each, and must not do that again and again on a disk that fails. Outlives
/// the node, which is another one after each opening. One thread at a time.
/// </summary>
internal sealed class RepairHistory
{
    /// <summary>Between two repairs of any segments: each stops the node for a moment.</summary>
    public static readonly TimeSpan Between = TimeSpan.FromMinutes(1);

    /// <summary>Before a segment is replaced once more: whatever was put there did not stay.</summary>
    public static readonly TimeSpan SameAgain = TimeSpan.FromHours(24);

    private readonly Dictionary<uint, long> _begun = []; // When, as VaultLoop.NowMs.
    private long _count;

    /// <summary>Repairs that were begun. For every thread.</summary>
    public long Begun => Volatile.Read(ref _count);

    /// <summary>Whether it is too soon for another repair.</summary>
    public bool MustWait(long nowMs) => _begun.Values.Any(begun => nowMs - begun < Between.TotalMilliseconds);

    /// <summary>Whether this segment was replaced not long ago.</summary>
    public bool WasReplaced(uint segment, long nowMs) => _begun.TryGetValue(segment, out var begun) && nowMs - begun < SameAgain.TotalMilliseconds;

    /// <summary>A repair begins, which may end with the node being opened anew.</summary>
    public void Begin(uint segment, long nowMs)
    {
        _begun[segment] = nowMs;
        Volatile.Write(ref _count, _count + 1);
    }

    /// <summary>It did not come to that.</summary>
    public void Failed(uint segment) => _begun.Remove(segment);
}
