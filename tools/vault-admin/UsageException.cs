namespace EventVault.Admin;

/// <summary>The command line asks for something that can't be; exit code 2.</summary>
/// <param name="message">What is wrong with it, and what to write instead.</param>
internal sealed class UsageException(string message) : Exception(message);
