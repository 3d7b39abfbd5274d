using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>Vaults that have something to scavenge.</summary>
internal static class ScavengeVaults
{
    /// <summary>
    /// Streams that stay, are deleted, deleted and written again, tombstoned and truncated, over eight segments, with a segment
    /// in which all is hidden, terms and a membership.
    /// </summary>
    public static SmallVault Mixed(int seed = 1)
    {
        var vault = new SmallVault(seed: seed);
        vault.Lead(3);
        vault.WriteSystem(GroupKind.Membership, [1, 2, 3]);
        vault.Flush();
        for (var i = 0; i < 40; i++)
        {
            foreach (var stream in (string[])["stays", "deleted", "again", "dead", "cut", $"own-{i}"])
            {
                vault.Append(stream, 900);
            }

            vault.StepAll();
            if (i % 10 == 5)
            {
                // An append to several streams, of which some go, with an id of its own; and a stream of the vault's own.
                vault.Write(vault.Event("$settings", 10), new ModelAppend((UInt128)(70_000 + i), [
                    ("deleted", ExpectedKind.Any, -1, [Encoded.Event((UInt128)(71_000 + i), "A", "1"u8), Encoded.Event((UInt128)(72_000 + i), "B", "2"u8)]),
                    ($"pair-{i}", ExpectedKind.NoStream, -1, [Encoded.Event((UInt128)(73_000 + i), "A", "3"u8)]),
                    ("dead", ExpectedKind.Exists, -1, [Encoded.Event((UInt128)(74_000 + i), "A", "4"u8)])]));
                vault.Flush();
            }

            if (i == 10)
            {
                vault.Lead(4);
                vault.Write(vault.Change(StreamChangeKind.Truncate, "cut", 4), vault.Change(StreamChangeKind.Delete, "again"));
                vault.Flush();
            }
        }

        for (var i = 0; i < 70; i++)
        {
            vault.Append("deleted", 1500); // More than a segment of it, and nothing else.
            vault.StepAll();
        }

        vault.Write(
            vault.Change(StreamChangeKind.Delete, "deleted"), vault.Change(StreamChangeKind.Tombstone, "dead"), vault.Change(StreamChangeKind.Truncate, "cut", 35),
            vault.Change(StreamChangeKind.Delete, "again"), vault.Event("again", 10), vault.Change(StreamChangeKind.Delete, "own-7"));
        vault.Flush();
        vault.Append("deleted", 100);
        vault.Append("big", 50_000); // So that the last one is sealed, too.
        vault.Append("big", 20_000);
        vault.StepAll();
        return vault;
    }
}
