namespace EventVault.Storage.Backups;

/// <summary>A backup can't be made, or restored, as it was asked for. What stands on the disks is as it was.</summary>
/// <param name="message">What is in the way, and what to do.</param>
public sealed class BackupException(string message) : IOException(message);
