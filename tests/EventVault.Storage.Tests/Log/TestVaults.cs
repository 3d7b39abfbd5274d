namespace EventVault.Storage.Tests.Log;

/// <summary>What tests do with a vault of one node.</summary>
internal static class TestVaults
{
    /// <summary>A term as a node begins it: on the disk before a group of it is written.</summary>
    public static void BeginTerm(this VaultStorage storage, ulong term)
    {
        storage.Vote.Write(new Term(term), 0, Guid.Empty);
        storage.Tail.Term = new Term(term);
    }

    /// <summary>Commits all that the log holds, as a single node does once it leads.</summary>
    public static VaultStorage CommitAll(this VaultStorage storage)
    {
        storage.Commit(storage.Tail.LastIndex);
        return storage;
    }
}
