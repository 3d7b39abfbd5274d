namespace EventVault.LoadTest.Running;

/// <summary>When what is to be started: pure arithmetic over loads, the same for the same seed.</summary>
internal sealed class Schedule
{
    private Schedule(IReadOnlyList<Stretch> stretches, TimeSpan length)
    {
        Stretches = stretches;
        Length = length;
    }

    /// <summary>One for each load, in order.</summary>
    public IReadOnlyList<Stretch> Stretches { get; }

    /// <summary>Of all stretches together.</summary>
    public TimeSpan Length { get; }

    /// <summary>Lays loads out one behind the other.</summary>
    /// <param name="loads">One or more, each longer than nothing.</param>
    /// <param name="seed">Of what is drawn.</param>
    public static Schedule Of(IReadOnlyList<Load> loads, int seed = 1)
    {
        ArgumentOutOfRangeException.ThrowIfZero(loads.Count);
        var stretches = new List<Stretch>();
        var at = TimeSpan.Zero;
        var (rate, copies) = (0.0, 0);
        foreach (var load in loads)
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(load.During, TimeSpan.Zero);
            Stretch stretch = load switch
            {
                Inject l => new OpenStretch(at, l.During, Rate(l.Starts, l.Interval), Rate(l.Starts, l.Interval)),
                RampingInject l => new OpenStretch(at, l.During, rate, Rate(l.Starts, l.Interval)),
                InjectRandom l => new DrawnStretch(at, l, seed + stretches.Count),
                KeepConstant l => new ClosedStretch(at, l.During, l.Copies, l.Copies),
                RampingConstant l => new ClosedStretch(at, l.During, copies, l.Copies),
                _ => new ClosedStretch(at, load.During, 0, 0),
            };
            stretches.Add(stretch);
            (rate, copies) = ((stretch as OpenStretch)?.LastRate ?? 0, (stretch as ClosedStretch)?.LastCopies ?? 0);
            at += load.During;
        }

        return new Schedule(stretches, at);
    }

    /// <summary>Loads for warming up: each kind of the first load that starts anything, held at its height.</summary>
    public static Schedule WarmUp(IReadOnlyList<Load> loads, TimeSpan during) => Of([loads.First(l => l is not Pause) switch
    {
        RampingInject l => new Inject(l.Starts, l.Interval, during),
        RampingConstant l => new KeepConstant(l.Copies, during),
        var l => l.Lasting(during),
    }]);

    private static double Rate(double starts, TimeSpan interval)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(starts);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(interval, TimeSpan.Zero);
        return starts / interval.TotalSeconds;
    }
}

/// <summary>A part of a schedule.</summary>
/// <param name="Begin">Since the schedule's beginning.</param>
/// <param name="Length">How long it is.</param>
internal abstract record Stretch(TimeSpan Begin, TimeSpan Length)
{
    public TimeSpan End => Begin + Length;
}

/// <summary>Starts by the clock.</summary>
internal interface IOpenStretch
{
    /// <summary>Moments of the starts since the schedule's beginning, in order, all before the stretch's end.</summary>
    IEnumerable<TimeSpan> Starts();
}

/// <summary>A rate that changes evenly from one to another.</summary>
internal sealed record OpenStretch(TimeSpan Begin, TimeSpan Length, double FirstRate, double LastRate) : Stretch(Begin, Length), IOpenStretch
{
    // After t seconds f·t + (l − f)·t²/2L starts are due; the n-th is due when that reaches n. Its root in the form that
    // does not divide by the difference of the rates, which may be nothing.
    public IEnumerable<TimeSpan> Starts()
    {
        var (first, slope) = (FirstRate, (LastRate - FirstRate) / Length.TotalSeconds);
        for (var n = 0L; ; n++)
        {
            var root = (first * first) + (2 * slope * n);
            var divisor = first + Math.Sqrt(Math.Max(0, root));
            var seconds = n == 0 ? 0 : root < 0 || divisor == 0 ? double.PositiveInfinity : 2 * n / divisor;
            if (seconds >= Length.TotalSeconds || (n == 0 && FirstRate == 0 && LastRate == 0))
            {
                yield break;
            }

            yield return Begin + TimeSpan.FromSeconds(seconds);
        }
    }
}

/// <summary>A rate that is drawn for each interval.</summary>
internal sealed record DrawnStretch(TimeSpan Begin, InjectRandom Load, int Seed) : Stretch(Begin, Load.During), IOpenStretch
{
    public IEnumerable<TimeSpan> Starts()
    {
        var random = new Random(Seed);
        for (var at = TimeSpan.Zero; at < Length; at += Load.Interval)
        {
            var starts = random.Next(Load.LeastStarts, Load.MostStarts + 1);
            for (var n = 0; n < starts && at + (Load.Interval * n / starts) is var start && start < Length; n++)
            {
                yield return Begin + start;
            }
        }
    }
}

/// <summary>A number of copies that changes evenly from one to another.</summary>
internal sealed record ClosedStretch(TimeSpan Begin, TimeSpan Length, int FirstCopies, int LastCopies) : Stretch(Begin, Length)
{
    /// <summary>When how many copies are to run from then on; the first at the stretch's beginning.</summary>
    public IEnumerable<(TimeSpan At, int Copies)> Changes()
    {
        var steps = Math.Abs(LastCopies - FirstCopies);
        yield return (Begin, FirstCopies);
        for (var n = 1; n <= steps; n++)
        {
            yield return (Begin + (Length * n / (steps + 1)), FirstCopies + (Math.Sign(LastCopies - FirstCopies) * n));
        }
    }
}
