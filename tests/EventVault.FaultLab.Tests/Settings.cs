using System.Globalization;

namespace EventVault.FaultLab.Tests;

/// <summary>The default test run takes the short form; the long forms are asked for by environment variables.</summary>
internal static class Settings
{
    /// <summary>EVENTVAULT_KILLS: how often the node is killed under load.</summary>
    public static int Kills => Read("EVENTVAULT_KILLS", 4);

    /// <summary>EVENTVAULT_SCAVENGE_KILLS: how often the node is killed while it scavenges under load.</summary>
    public static int ScavengeKills => Read("EVENTVAULT_SCAVENGE_KILLS", 6);

    /// <summary>EVENTVAULT_BACKUP_KILLS: how many backups of a node under load are killed.</summary>
    public static int BackupKills => Read("EVENTVAULT_BACKUP_KILLS", 2);

    /// <summary>EVENTVAULT_SOAK_SECONDS: how long 64 writers append beside a subscriber.</summary>
    public static int SoakSeconds => Read("EVENTVAULT_SOAK_SECONDS", 5);

    /// <summary>EVENTVAULT_IMPORT_KILLS: how many imports of the real history are cut short by a kill.</summary>
    public static int ImportKills => Read("EVENTVAULT_IMPORT_KILLS", 1);

    /// <summary>EVENTVAULT_SEED: draws when and how the faults strike.</summary>
    public static int Seed => Read("EVENTVAULT_SEED", 1);

    /// <summary>Whether a missing tool fails the test instead of skipping it.</summary>
    public static bool IsCi => Environment.GetEnvironmentVariable("CI") == "true";

    private static int Read(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}

/// <summary>A folder that goes away with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("eventvault-faults-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
