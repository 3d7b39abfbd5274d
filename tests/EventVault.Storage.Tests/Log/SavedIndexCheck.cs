using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Index;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>The rule for the index that a stop in order saves: what is loaded equals what a walk builds.</summary>
internal static class SavedIndexCheck
{
    private const string Saved = SmallVault.Directory + "/index/" + ActiveIndexFile.FileName;
    private const string Note = SmallVault.Directory + "/index/" + CleanStop.FileName;

    /// <summary>Opens a stopped vault by its saved index and by a walk, and compares what either knows.</summary>
    /// <param name="files">Its files; they stay as they are.</param>
    /// <param name="open">Opens a copy.</param>
    /// <returns>Whether it had a saved index that was taken.</returns>
    public static bool Compare(SimulatedFileSystem files, Func<SimulatedFileSystem, VaultStorage> open)
    {
        using var loaded = open(files.Crash(new Random(1)));
        if (!loaded.HadSavedIndex)
        {
            return false;
        }

        var without = files.Crash(new Random(1));
        without.DeleteFile(Note);
        without.DeleteFile(Saved);
        using var walked = open(without).CommitAll();
        Assert.False(walked.HadSavedIndex);
        Assert.Equal((walked.Head, walked.CommitIndex, walked.ClosedTime, walked.OperationFloor), (loaded.Head, loaded.CommitIndex, loaded.ClosedTime, loaded.OperationFloor));
        Assert.Equal((walked.CommittedEnd, walked.Tail.LastIndex), (loaded.CommittedEnd, loaded.Tail.LastIndex));
        Assert.Equal(walked.Raft.TermRuns, loaded.Raft.TermRuns);
        Assert.Equal(walked.Raft.Memberships, loaded.Raft.Memberships.AsEnumerable(), static (a, b) => a.Index == b.Index && a.Content.AsSpan().SequenceEqual(b.Content));
        Compare(walked.Lives, loaded.Lives);
        Compare(Assert.Single(walked.View.Unsealed).OwnIndex, Assert.Single(loaded.View.Unsealed).OwnIndex);
        return true;
    }

    private static void Compare(StreamLives walked, StreamLives loaded)
    {
        Assert.Equal(walked.Scavenge, loaded.Scavenge);
        Assert.Equal(Streams(walked), Streams(loaded));
        Assert.Equal(
            walked.Retention.Committed.InOrder().Select(r => (r.Scope, Convert.ToHexString(r.Name), r.Rule, r.SetAt)),
            loaded.Retention.Committed.InOrder().Select(r => (r.Scope, Convert.ToHexString(r.Name), r.Rule, r.SetAt)));

        static SortedDictionary<UInt128, StreamLife> Streams(StreamLives lives) =>
            new(Enumerable.Range(0, lives.Count).Select(lives.StreamAt).ToDictionary(key => key, lives.Of));
    }

    /// <summary>Two indexes of the same segment, whatever order their tables are in.</summary>
    public static void Compare(ActiveIndex walked, ActiveIndex loaded)
    {
        Assert.Equal((walked.Segment, walked.FirstPosition, walked.FirstIndex), (loaded.Segment, loaded.FirstPosition, loaded.FirstIndex));
        Assert.Equal((walked.EventCount, walked.StreamCount, walked.OperationCount), (loaded.EventCount, loaded.StreamCount, loaded.OperationCount));
        Assert.Equal(walked.Marks, loaded.Marks);
        Assert.Equal(walked.ConsensusGroups, loaded.ConsensusGroups);
        for (var i = 0; i < walked.EventCount; i++)
        {
            Assert.Equal(walked.OffsetOf(i), loaded.OffsetOf(i));
        }

        for (var i = 0; i < walked.OperationCount; i++)
        {
            Assert.Equal(walked.Operation(i), loaded.Operation(i));
            Assert.Equal(walked.Operation(i).GroupOffset, loaded.FindOperation(walked.Operation(i).Id));
        }

        for (var i = 0; i < walked.StreamCount; i++)
        {
            var number = loaded.FindStream(walked.StreamKeyOf(i));
            var run = walked.Run(i, walked.EventCount, out var newest);
            Assert.Equal(run, loaded.Run(number, loaded.EventCount, out var newestLoaded));
            Assert.Equal((newest, walked.Tail(i), walked.VersionBefore(i)), (newestLoaded, loaded.Tail(number), loaded.VersionBefore(number)));
            var (ordinals, ordinalsLoaded) = (new uint[run.Count], new uint[run.Count]);
            walked.CopyOrdinals(newest, 0, ordinals);
            loaded.CopyOrdinals(newestLoaded, 0, ordinalsLoaded);
            Assert.Equal(ordinals, ordinalsLoaded);
        }

        Assert.Equal(walked.Keys.Count, loaded.Keys.Count);
        for (var table = 0; table < ActiveKeys.Tables; table++)
        {
            var (keys, lists) = walked.Keys.Sorted(table);
            for (var i = 0; i < keys.Length; i++)
            {
                Assert.True(loaded.Keys.TryFind(keys[i], loaded.EventCount, out var found));
                Assert.Equal(Ordinals(walked.Keys.PostingsOf(lists[i])), Ordinals(found));
            }
        }
    }

    private static uint[] Ordinals(ActivePostings postings)
    {
        var ordinals = new uint[postings.Count];
        postings.Copy(0, ordinals);
        return ordinals;
    }
}
