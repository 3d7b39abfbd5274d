namespace EventVault.LocalCluster;

/// <summary>The three nodes can't be started; exit code 1.</summary>
/// <param name="message">What is in the way, and what to do.</param>
internal sealed class StartException(string message) : Exception(message);
