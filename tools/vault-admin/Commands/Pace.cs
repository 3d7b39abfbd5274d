using System.Diagnostics;

namespace EventVault.Admin.Commands;

/// <summary>Keeps something at a rate: whoever has taken bytes waits until they have been paid for.</summary>
/// <param name="bytesPerSecond">The rate; 0: no bound.</param>
internal sealed class Pace(ulong bytesPerSecond)
{
    /// <summary>What may come at once behind a rest, as a part of a second: less than anybody notices.</summary>
    private static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(50);

    private readonly long _began = Stopwatch.GetTimestamp();
    private TimeSpan _paid; // Since the beginning: until when what was taken is paid for.

    /// <summary>Waits after bytes were taken.</summary>
    public async ValueTask WaitAsync(int bytes, CancellationToken stop)
    {
        if (bytesPerSecond == 0)
        {
            return;
        }

        var now = Stopwatch.GetElapsedTime(_began);
        _paid = (_paid > now - Burst ? _paid : now - Burst) + TimeSpan.FromSeconds((double)bytes / bytesPerSecond);
        if (_paid > now)
        {
            await Task.Delay(_paid - now, stop);
        }
    }
}
