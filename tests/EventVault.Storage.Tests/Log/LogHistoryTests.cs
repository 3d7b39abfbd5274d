using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>Terms and memberships of the log, and their way through the state table.</summary>
public sealed class LogHistoryTests
{
    private const string Path = "/index/state";
    private readonly SimulatedFileSystem _files = new();

    public LogHistoryTests() => _files.CreateDirectory("/index");

    [Fact]
    public void Only_the_newest_committed_membership_and_all_behind_it_are_told()
    {
        var history = new LogHistory();
        history.AddRun(new LogIndex(1), new Term(1));
        foreach (var index in new ulong[] { 2, 5, 9 })
        {
            history.AddMembership(new LogIndex(index), [(byte)index]);
        }

        Assert.Equal([2, 5, 9], Memberships(history, 0));
        Assert.Equal([2, 5, 9], Memberships(history, 2));
        Assert.Equal([2, 5, 9], Memberships(history, 4));
        Assert.Equal([5, 9], Memberships(history, 5));
        Assert.Equal([9], Memberships(history, 100));
        Assert.Empty(new LogHistory().AsOf(new LogIndex(3)).Memberships);
    }

    [Fact]
    public void A_run_is_kept_for_each_term_and_not_for_each_group()
    {
        var history = new LogHistory();
        history.AddRun(new LogIndex(1), new Term(1));
        history.AddRun(new LogIndex(2), new Term(1));
        history.AddRun(new LogIndex(3), new Term(4));
        history.AddRun(new LogIndex(9), new Term(4));
        Assert.Equal([(1, 1), (3, 4)], Runs(history));
        Assert.Equal(4ul, history.LastTerm.Value);
        Assert.Throws<InvariantException>(() => history.AddRun(new LogIndex(10), new Term(3)));
        Assert.Throws<InvariantException>(() => history.AddRun(new LogIndex(3), new Term(5)));
        Assert.Throws<InvariantException>(() => new LogHistory().AddRun(new LogIndex(2), new Term(1)));
    }

    [Fact]
    public void The_state_table_gives_back_runs_and_the_newest_membership()
    {
        var history = new LogHistory();
        history.AddRun(new LogIndex(1), new Term(1));
        history.AddMembership(new LogIndex(1), "old"u8);
        history.AddRun(new LogIndex(7), new Term(3));
        history.AddMembership(new LogIndex(8), ""u8);
        StateTable.Open(_files, Path).Rewrite(4, history.Values());
        var read = LogHistory.From(StateTable.Open(_files, Path))!;
        Assert.Equal(Runs(history), Runs(read));
        Assert.Equal([8], Memberships(read, 8));
        Assert.Empty(read.AsOf(new LogIndex(8)).Memberships[0].Content);
        read.AddRun(new LogIndex(12), new Term(3));
        read.AddMembership(new LogIndex(12), "new"u8);
        Assert.Equal([8, 12], Memberships(read, 11));
        Assert.Equal("new"u8, read.AsOf(new LogIndex(12)).Memberships[0].Content);
    }

    [Fact]
    public void A_table_without_terms_or_with_impossible_ones_is_as_good_as_lost()
    {
        Assert.NotNull(LogHistory.From(StateTable.Open(_files, Path)));
        uint segment = 0;
        foreach (var terms in new byte[]?[] { null, [], new byte[15], Terms((1, 0)), Terms((2, 1)), Terms((1, 1), (1, 2)), Terms((1, 2), (5, 2)), Terms((1, 2), (5, 1)) })
        {
            Rewrite(terms is null ? WholeStreams : [.. WholeStreams, new("terms", terms)]);
            Assert.Null(LogHistory.From(StateTable.Open(_files, Path)));
        }

        Rewrite([.. WholeStreams, new("terms", Terms((1, 1))), new("membership", new byte[7])]);
        Assert.Null(LogHistory.From(StateTable.Open(_files, Path)));
        foreach (var lacks in WholeStreams)
        {
            Rewrite([.. WholeStreams.Where(v => v.Key != lacks.Key), new("terms", Terms((1, 1)))]);
            Assert.Null(LogHistory.From(StateTable.Open(_files, Path)));
        }

        Rewrite([.. WholeStreams, new("terms", Terms((1, 1)))]);
        Assert.Equal([(1, 1)], Runs(LogHistory.From(StateTable.Open(_files, Path))!));

        void Rewrite(KeyValuePair<string, byte[]>[] values) => StateTable.Open(_files, Path).Rewrite(segment++, values);
    }

    // What a table has if no stream was ever deleted or truncated, and no retention rule set.
    private static KeyValuePair<string, byte[]>[] WholeStreams => [new LifeHistory().Value(), RetentionValue.Of(new RetentionRules())];

    private static byte[] Terms(params (ulong First, ulong Term)[] runs) =>
        [.. runs.SelectMany(run => (byte[])[.. BitConverter.GetBytes(run.First), .. BitConverter.GetBytes(run.Term)])];

    private static int[] Memberships(LogHistory history, ulong commit) =>
        [.. history.AsOf(new LogIndex(commit)).Memberships.Select(m => (int)m.Index.Value)];

    private static (int, int)[] Runs(LogHistory history) =>
        [.. history.AsOf(default).TermRuns.Select(run => ((int)run.First.Value, (int)run.Term.Value))];
}
