namespace EventVault.Demo;

/// <summary>A promise that was not kept; the demo ends with exit code 1.</summary>
/// <param name="message">Which one, and what was found.</param>
internal sealed class BrokenPromiseException(string message) : Exception(message);
