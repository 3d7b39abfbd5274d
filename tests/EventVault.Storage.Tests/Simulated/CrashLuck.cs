namespace EventVault.Storage.Tests.Simulated;

/// <summary>
/// How much of a file's unflushed sectors a power loss keeps. With one coin per sector alone the extremes, which
/// find most mistakes, would hardly ever come up among hundreds of sectors; so the kind of luck is drawn first.
/// </summary>
internal sealed class CrashLuck
{
    private readonly Random _random;
    private readonly double _probability;
    private int _sectorsBeforeCut;

    /// <param name="random">All later decisions come from it, too.</param>
    /// <param name="unflushedSectors">How many decisions there will be at most.</param>
    internal CrashLuck(Random random, int unflushedSectors)
    {
        _random = random;
        _sectorsBeforeCut = int.MaxValue;
        switch (random.Next(5))
        {
            case 0:
                _probability = 0;
                break;
            case 1:
                _probability = 1;
                break;
            case 2: // In order up to a point, as when the power goes while one large write runs.
                _probability = 1;
                _sectorsBeforeCut = random.Next(unflushedSectors + 1);
                break;
            default:
                _probability = random.NextDouble();
                break;
        }
    }

    /// <summary>Picks what a sector holds: 0 is the flushed version, the last one the newest.</summary>
    internal int PickVersion(int versions)
    {
        if (--_sectorsBeforeCut < 0)
        {
            return 0;
        }

        return _probability switch
        {
            >= 1 => versions - 1,
            <= 0 => 0,
            _ => _random.NextDouble() < _probability ? versions - 1 : _random.Next(versions - 1),
        };
    }
}
