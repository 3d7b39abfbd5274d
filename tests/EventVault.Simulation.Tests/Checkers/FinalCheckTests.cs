using EventVault.Simulation.Checkers;
using EventVault.Simulation.Workload;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>The last check reads real storage; what was committed is written down otherwise than it is.</summary>
public sealed class FinalCheckTests : IDisposable
{
    private readonly VaultStorage _storage = VaultStorage.Open(
        new SimulatedFileSystem(), "/vault", new StorageOptions { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes, Random = new Random(1) }, 1_000);

    private readonly PlantedRun _run = new();

    public void Dispose() => _storage.Dispose();

    [Fact]
    public void Storage_that_holds_what_was_committed_passes()
    {
        Commit(Write(1, "a", "b"));
        Commit(Write(2, "a"));
        var check = Check();
        check.CheckNothingLost([_storage]);
        check.CheckNode(1, _storage, "as it ran");
        Assert.Equal(2, _run.Ledger.Head);
    }

    [Fact]
    public void An_entry_that_no_node_has_is_caught()
    {
        var group = Write(1, "a");
        Commit(group);
        _run.Ledger.Add(group with { Index = 2, Previous = group.Mark.Checksum, Time = group.Time + 1, FirstPosition = 1, Appends = [] }, 1, "node 1");
        Breaks(Rules.NothingLost, () => Check().CheckNothingLost([_storage]));
    }

    [Fact]
    public void Other_bytes_than_committed_are_caught()
    {
        var group = Write(1, "a");
        Commit(group with { Mark = group.Mark with { Body = 7 } });
        Breaks(Rules.LogsEqual, () => Check().CheckNode(1, _storage, "as it ran"));
    }

    [Fact]
    public void Reads_that_show_something_else_than_the_log_are_caught()
    {
        var group = Write(1, "a");
        var append = group.Appends[0];
        Commit(group with { Appends = [append with { Events = [append.Events[0] with { Digest = 7 }] }] });
        Breaks(Rules.IndexEqualsLog, () => Check().CheckNode(1, _storage, "as it ran"));
    }

    [Fact]
    public void An_operation_that_the_index_does_not_find_is_caught()
    {
        Commit(Write(1, "a"));
        Breaks(Rules.OperationsKnown, () => Check(Sent(Plan(9, "a"), first: 0)).CheckNode(1, _storage, "as it ran"));
    }

    [Fact]
    public void An_operation_that_gets_another_answer_is_caught()
    {
        Commit(Write(1, "a"));
        Commit(Write(2, "a"));
        Breaks(Rules.OperationsKnown, () => Check(Sent(Plan(2, "a"), first: 0)).CheckNode(1, _storage, "as it ran"));
    }

    private static AppendPlan Plan(ulong id, params string[] streams) => new(id, 0, [.. streams.Select(s => new PlannedStream(s, Expectation.Any, 0, [10]))]);

    private static SentAppend Sent(AppendPlan plan, long first)
    {
        var sent = plan.ToSent();
        sent.First = first;
        return sent;
    }

    private FinalCheck Check(params SentAppend[] written)
    {
        _run.Appends.Written.AddRange(written);
        return new FinalCheck(_run.Ledger, _run.Appends);
    }

    // Writes a group into the storage, and says how it stands there.
    private CommittedGroup Write(ulong id, params string[] streams)
    {
        var content = Plan(id, streams).Encode(_storage);
        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        _storage.Reader.LookUp(content, out _);
        Assert.Equal(AppendCheck.Ok, _storage.Tail.Check(content, out _));
        var group = new GroupBuffer();
        Assert.Equal(RoomCheck.Ok, _storage.Tail.CheckRoom(content.EncodedLength));
        _storage.Tail.Begin(group, content.EncodedLength, 2_000);
        _storage.Tail.Add(group, content);
        _storage.Tail.Finish(group);
        _storage.Log.Write(group);
        _storage.Log.Flush();
        _storage.Commit(group.Index);
        return GroupDecoder.Decode(_storage.ReadGroup(group.Index));
    }

    private void Commit(CommittedGroup group) => _run.Ledger.Add(group, 1, "node 1");
}
