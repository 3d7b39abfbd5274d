namespace EventVault.Rpc.Server.Health;

/// <summary>Whether a service can be used now.</summary>
public enum HealthStatus
{
    /// <summary>Not known yet.</summary>
    Unknown = 0,

    /// <summary>It serves.</summary>
    Serving = 1,

    /// <summary>It exists and does not serve now: starting, draining, without a leader.</summary>
    NotServing = 2,
}
