namespace EventVault.Admin.Commands;

/// <summary>
/// Keeps work at a rate, and out of the way: whoever has taken bytes waits until they have been paid for, and three times as long as the work of them took. So the busier the
/// machine is, the more of it is left to what makes it busy; but a quarter of the rate is taken however long that makes others wait, as the work has to end.
/// </summary>
/// <param name="bytesPerSecond">The rate; 0: no bound, and no rests.</param>
/// <param name="clock">Tells how long something took.</param>
internal sealed class Pace(ulong bytesPerSecond, TimeProvider clock)
{
    /// <summary>Rests as parts of the work that they follow, and what part of the rate is taken in any case: with 3 work has a quarter of the time.</summary>
    private const int Rests = 3;

    /// <summary>What may come at once behind a rest, as a part of a second: less than anybody notices.</summary>
    private static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(50);

    private readonly long _began = clock.GetTimestamp();
    private TimeSpan _paid; // Since the beginning: until when what was taken is paid for.
    private TimeSpan _workSince;

    /// <summary>Waits after bytes were taken.</summary>
    public async ValueTask WaitAsync(int bytes, CancellationToken stop)
    {
        if (Owed(bytes) is var rest && rest > TimeSpan.Zero)
        {
            await Task.Delay(rest, clock, stop);
        }

        WorkBegins();
    }

    /// <summary>As <see cref="WaitAsync"/>, on the thread of the work.</summary>
    public void Wait(int bytes, CancellationToken stop)
    {
        if (Owed(bytes) is var rest && rest > TimeSpan.Zero)
        {
            stop.WaitHandle.WaitOne(rest);
            stop.ThrowIfCancellationRequested();
        }

        WorkBegins();
    }

    /// <summary>How long to rest after bytes were taken; then <see cref="WorkBegins"/>.</summary>
    internal TimeSpan Owed(int bytes)
    {
        if (bytesPerSecond == 0)
        {
            return TimeSpan.Zero;
        }

        var now = clock.GetElapsedTime(_began);
        var price = TimeSpan.FromSeconds((double)bytes / bytesPerSecond);
        _paid = (_paid > now - Burst ? _paid : now - Burst) + price;
        var work = now - _workSince;
        var rest = Rests * work;
        var most = ((1 + Rests) * price) - work;
        rest = rest < most ? rest : most;
        return rest > _paid - now ? rest : _paid - now;
    }

    /// <summary>The rest is over.</summary>
    internal void WorkBegins() => _workSince = clock.GetElapsedTime(_began);
}
