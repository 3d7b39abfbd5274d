using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests;

public sealed class VaultIdentityTests
{
    [Fact]
    public void A_directory_that_was_founded_with_the_bytes_of_a_vaults_identity_is_one_of_its_disks()
    {
        var files = new SimulatedFileSystem();
        using var vault = VaultStorage.Open(files, "/a", new StorageOptions { SegmentSizeBytes = 1024 * 1024 }, now: 1);
        var identity = VaultIdentity.Decode(vault.Identity.Encode());
        Assert.Equal(vault.Identity, identity);
        var options = new StorageOptions { NodeId = 7, Join = identity };
        Assert.Null(VaultStorage.NodeIdOf(files, "/b"));
        var founded = VaultStorage.Found(files, "/b", options, now: 2);
        Assert.Equal(vault.VaultId, founded.VaultId);
        Assert.Equal(founded, VaultStorage.Found(files, "/b", options, now: 3));
        Assert.Equal(7u, VaultStorage.NodeIdOf(files, "/b"));
        using var joined = VaultStorage.Open(files, "/b", options with { Join = null }, now: 4);
        Assert.Equal((true, founded.Incarnation, vault.SegmentSizeBytes), (joined.IsJoined, joined.Incarnation, joined.SegmentSizeBytes));
    }

    [Fact]
    public void Other_bytes_are_no_identity()
    {
        var files = new SimulatedFileSystem();
        using var vault = VaultStorage.Open(files, "/a", new StorageOptions { SegmentSizeBytes = 1024 * 1024 }, now: 1);
        var bytes = vault.Identity.Encode();
        Assert.Null(VaultIdentity.Decode([]));
        Assert.Null(VaultIdentity.Decode(bytes.AsSpan(1)));
        Assert.Null(VaultIdentity.Decode([.. bytes, 0]));
        Assert.Null(VaultIdentity.Decode([2, .. bytes.AsSpan(1)]));
        bytes[17] = 1; // A segment size that is none.
        Assert.Null(VaultIdentity.Decode(bytes));
    }
}
