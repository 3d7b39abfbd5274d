using System.Globalization;
using System.Text;
using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>States against the real node: every moment, folds whose states are kept, and the same answers after kill −9.</summary>
public sealed class RealNodeStateTests
{
    private static readonly Fold<long> Sum = new("sum", 1, () => 0, (sum, e) => sum + long.Parse(Encoding.UTF8.GetString(e.Data.Span)[5..^1], CultureInfo.InvariantCulture));

    [Fact]
    public async Task Every_moment_is_answered_and_answered_the_same_after_kills_and_appends()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        var written = new List<AppendResult>();
        for (int i = 0; i < 5; i++)
        {
            written.Add(await client.AppendAsync("s-1", ExpectedVersion.Any, Some.Event(i)));
            await client.AppendAsync("other", ExpectedVersion.Any, Some.Event(i));
        }

        AsOf[] moments =
        [
            AsOf.Version(2),
            AsOf.Position(written[2].LastPosition),
            AsOf.Position(written[2].LastPosition + 1),
            AsOf.Time(written[2].RecordedAt),
            AsOf.BeforeTime(written[3].RecordedAt),
            AsOf.Time(written[2].RecordedAt).OrWait(TimeSpan.FromSeconds(1)),
        ];
        StreamState state = await client.States.GetAsync("s-1", AsOf.Version(2));
        Assert.Equal("""{"n":2}"""u8, state.Json.Span);
        moments = [.. moments, AsOf.Token(state.Token!)];
        Assert.Equal(written[2].LastPosition + 1, (await client.States.ResolveAsync(AsOf.BeforeTime(written[3].RecordedAt))).Position);
        DateTimeOffset quiet = (await client.States.GetAsync("s-1")).Cut.ClosedTime!.Value;
        string idle = (await client.States.GetAsync("s-1", AsOf.Time(quiet))).StateHash;
        for (int start = 0; start < 2; start++)
        {
            foreach (AsOf moment in moments)
            {
                StreamState same = await client.States.GetAsync("s-1", moment);
                Assert.Equal((2ul, state.StateHash, state.Position), (same.Version!.Value, same.StateHash, same.Position));
            }

            Assert.Equal(idle, (await client.States.GetAsync("s-1", AsOf.Time(quiet))).StateHash);
            List<StateResult> all = await client.States.OfCategoryAsync("s", AsOf.Position(written[2].LastPosition)).ToListAsync();
            Assert.Equal(state.StateHash, Assert.Single(all).Value.StateHash);
            List<StateResult> list = await client.States.OfStreamsAsync(["never", "s-1"], AsOf.Position(written[2].LastPosition)).ToListAsync();
            Assert.IsType<StreamNotFoundException>(list[0].Failure);
            Assert.Equal(state.StateHash, list[1].Value.StateHash);
            List<StateStep> history = await client.States.HistoryAsync("s-1", new StateHistoryOptions { Step = HistoryStep.Events(2), Until = AsOf.Version(4) }).ToListAsync();
            Assert.Equal([1ul, 3, 4], history.Select(s => s.State.Version!.Value));
            node.Kill();
            await node.StartAgainAsync();
            await client.AppendAsync("s-1", ExpectedVersion.Any, Some.Event(100 + start));
        }
    }

    [Fact]
    public async Task A_kept_state_makes_the_next_fold_read_only_what_came_since()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        await client.AppendAsync("s", ExpectedVersion.NoStream, Enumerable.Range(0, 5000).Select(Some.Event));
        FoldedState<long> first = await client.States.FoldAsync(Sum, "s");
        Assert.Equal((4999L * 5000 / 2, 5000ul, null), (first.State, first.EventsFolded, first.KeptVersion));

        FoldedState<long> second = await client.States.FoldAsync(Sum, "s");
        Assert.Equal(first.State, second.State);
        Assert.True(second is { KeptVersion: > 1000, EventsFolded: < 4000 }, $"{second}");
        Assert.Equal(second.Version, second.KeptVersion + second.EventsFolded);

        // A moment behind which a state was kept takes none of the states kept later; another version of the fold takes none at all.
        FoldedState<long> early = await client.States.FoldAsync(Sum, "s", AsOf.Version(99));
        Assert.Equal((99L * 100 / 2, 100ul, null), (early.State, early.EventsFolded, early.KeptVersion));
        var other = new Fold<long>("sum", 2, Sum.Initial, Sum.Apply);
        Assert.Equal(5000ul, (await client.States.FoldAsync(other, "s")).EventsFolded);

        List<FoldStep<long>> steps = await client.States.StepAsync(Sum, "s", from: 4998).ToListAsync();
        Assert.Equal([first.State - 4999, first.State], steps.Select(s => s.State));
        node.Kill();
        await node.StartAgainAsync();
        Assert.Equal(first.State, (await client.States.FoldAsync(Sum, "s")).State);
    }

    [Fact]
    public async Task What_takes_events_away_is_told()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        await client.Reducers.DefineAsync("sum", Reducer.Slots("sum = SUM(n)"), new DefineReducerOptions { Categories = ["s"] });
        await client.AppendAsync("s-1", ExpectedVersion.NoStream, Enumerable.Range(0, 10).Select(Some.Event));
        string whole = (await client.States.GetAsync("s-1", AsOf.Version(7), Reducer.Named("sum"))).StateHash;
        await client.TruncateStreamAsync("s-1", before: 5, ExpectedVersion.Any);
        StreamState still = await client.States.GetAsync("s-1", AsOf.Version(7), Reducer.Named("sum"));
        Assert.Equal((whole, null), (still.StateHash, still.PartialFromVersion));
        HistoryTruncatedException gone = await Assert.ThrowsAsync<HistoryTruncatedException>(() => client.States.GetAsync("s-1", AsOf.Version(2), Reducer.Named("sum")));
        Assert.Equal(4ul, gone.Earliest?.Version);
        await Assert.ThrowsAsync<IncompleteHistoryException>(() => client.States.GetAsync("s-1"));
        await Assert.ThrowsAsync<IncompleteHistoryException>(() => client.States.FoldAsync(Sum, "s-1"));
        FoldedState<long> partial = await client.States.FoldAsync(Sum, "s-1", options: new StateOptions { AllowPartial = true });
        Assert.Equal((5L + 6 + 7 + 8 + 9, 5ul), (partial.State, partial.PartialFromVersion));

        await client.DeleteStreamAsync("s-1", ExpectedVersion.Any);
        Assert.True((await client.States.FoldAsync(Sum, "s-1")) is { Exists: false, Deleted: true, State: 0 });
        await client.DeleteStreamAsync("s-1", ExpectedVersion.Any, tombstone: true);
        await Assert.ThrowsAsync<StreamTombstonedException>(() => client.States.GetAsync("s-1", AsOf.Version(7), Reducer.Named("sum")));
        AsOfInFutureException future = await Assert.ThrowsAsync<AsOfInFutureException>(() => client.States.ResolveAsync(AsOf.Time(DateTimeOffset.UtcNow.AddDays(1))));
        Assert.NotNull(future.ClosedTime);
    }
}
