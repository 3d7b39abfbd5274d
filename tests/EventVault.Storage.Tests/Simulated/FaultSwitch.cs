namespace EventVault.Storage.Tests.Simulated;

/// <summary>Decides which calls of one kind fail. Off at first. Set it between calls or from one thread.</summary>
public sealed class FaultSwitch
{
    private double _probability;
    private long _callsUntilStrike;

    /// <summary>Where random decisions come from; null: by count.</summary>
    internal Random? Random { get; private set; }

    /// <summary>How many calls it struck.</summary>
    public long Strikes { get; private set; }

    /// <summary>No call fails any more.</summary>
    public void Off() => (Random, _probability, _callsUntilStrike) = (null, 0, 0);

    /// <summary>Strikes once, at the given call from now on; 1 is the next. With a random source it is drawn how much of the call took effect.</summary>
    public void StrikeAt(long call, Random? random = null) => (Random, _probability, _callsUntilStrike) = (random, 0, call);

    /// <summary>Strikes every call.</summary>
    public void StrikeAlways() => (Random, _probability, _callsUntilStrike) = (null, 1, 0);

    /// <summary>Strikes each call with this probability; also how much of the call took effect is drawn.</summary>
    public void StrikeRandomly(Random random, double probability) =>
        (Random, _probability, _callsUntilStrike) = (random, probability, 0);

    internal bool DoesStrike()
    {
        var strikes = _callsUntilStrike > 0
            ? --_callsUntilStrike == 0
            : _probability >= 1 || (Random is not null && Random.NextDouble() < _probability);
        Strikes += strikes ? 1 : 0;
        return strikes;
    }
}
