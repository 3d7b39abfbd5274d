using System.Globalization;

namespace EventVault.LoadTest.Running;

/// <summary>
/// How a scenario is started, for a while. Open loads start iterations by the clock, whether or not earlier ones are
/// done; closed loads keep so many copies running, each of which starts again when it is done.
/// </summary>
/// <param name="During">How long.</param>
internal abstract record Load(TimeSpan During)
{
    /// <summary>The same load for another time.</summary>
    public Load Lasting(TimeSpan during) => this with { During = during };

    private protected static string Figure(double value) => value.ToString("#,0.###", CultureInfo.InvariantCulture);

    private protected string For => $"for {Figure(During.TotalSeconds)} s";
}

/// <summary>Open: so many starts in each interval, evenly spaced.</summary>
internal sealed record Inject(double Starts, TimeSpan Interval, TimeSpan During) : Load(During)
{
    public override string ToString() => $"{Figure(Starts / Interval.TotalSeconds)} starts/s {For}";
}

/// <summary>Open: from the rate of the open load before (or none) evenly up or down to so many starts in an interval.</summary>
internal sealed record RampingInject(double Starts, TimeSpan Interval, TimeSpan During) : Load(During)
{
    public override string ToString() => $"ramp to {Figure(Starts / Interval.TotalSeconds)} starts/s {For}";
}

/// <summary>Open: in each interval a number of starts drawn anew between two bounds, evenly spaced.</summary>
internal sealed record InjectRandom(int LeastStarts, int MostStarts, TimeSpan Interval, TimeSpan During) : Load(During)
{
    public override string ToString() =>
        $"{Figure(LeastStarts / Interval.TotalSeconds)} to {Figure(MostStarts / Interval.TotalSeconds)} starts/s, drawn every {Figure(Interval.TotalSeconds)} s, {For}";
}

/// <summary>Closed: so many copies.</summary>
internal sealed record KeepConstant(int Copies, TimeSpan During) : Load(During)
{
    public override string ToString() => $"{Figure(Copies)} in flight {For}";
}

/// <summary>Closed: from the copies of the closed load before (or none) evenly up or down to so many.</summary>
internal sealed record RampingConstant(int Copies, TimeSpan During) : Load(During)
{
    public override string ToString() => $"ramp to {Figure(Copies)} in flight {For}";
}

/// <summary>Nothing is started.</summary>
internal sealed record Pause(TimeSpan During) : Load(During)
{
    public override string ToString() => $"pause {For}";
}
