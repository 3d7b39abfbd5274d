namespace EventVault.Admin;

/// <summary>The command line asks for something that can't be; exit code 2.</summary>
/// <param name="message">What is wrong with it, and what to write instead.</param>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Somebody ended the command, and what it leaves behind takes a word; exit code 1.</summary>
/// <param name="message">What is left, and what to do.</param>
/// <param name="inner">What ended it.</param>
internal sealed class InterruptedException(string message, OperationCanceledException inner) : Exception(message, inner);
