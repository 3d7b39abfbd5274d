namespace EventVault.Storage.Tests.Log;

/// <summary>What tests do with a vault of one node.</summary>
internal static class TestVaults
{
    /// <summary>Commits all that the log holds, as a single node does once it leads.</summary>
    public static VaultStorage CommitAll(this VaultStorage storage)
    {
        storage.Commit(storage.Tail.LastIndex);
        return storage;
    }
}
