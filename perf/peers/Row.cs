using System.Text.Json;

namespace EventVault.Peers;

/// <summary>One measured run.</summary>
/// <param name="Workload">Its section of the report.</param>
/// <param name="Case">What was measured.</param>
/// <param name="Peer">Whose it is.</param>
/// <param name="Valid">Whether the generator kept up.</param>
/// <param name="Figures">By name with unit; the first is what peers are compared by.</param>
internal sealed record Row(string Workload, string Case, string Peer, bool Valid, Dictionary<string, double> Figures)
{
    public string Unit => Figures.Keys.First();

    /// <summary>Whether more of the first figure is better: rates are, times and bytes are not.</summary>
    public bool MoreIsBetter => Unit.EndsWith("/s", StringComparison.Ordinal);

    public string ToJson() => JsonSerializer.Serialize(this);
}
