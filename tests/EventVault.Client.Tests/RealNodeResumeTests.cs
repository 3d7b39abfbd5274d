using System.Globalization;
using System.Text;
using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>
/// States whose connection is cut in the middle, at one place after the other, with a real node behind: what comes is what would
/// have come without the cut, whatever was appended and truncated meanwhile, or the call says that it can't.
/// </summary>
public sealed class RealNodeResumeTests : IAsyncLifetime, IAsyncDisposable
{
    private static readonly Fold<string> Joined = new("joined", 1, () => "", (state, e) => $"{state} {Encoding.UTF8.GetString(e.Data.Span)}");

    // What the client is given of an answer comes by frames of HTTP/2, of 16 KiB.
    private const int MoreThanAFrame = 24_000;

    private NodeProcess _node = null!;
    private CuttingProxy _proxy = null!;
    private VaultClient _direct = null!;
    private VaultClient _cut = null!;

    public async Task InitializeAsync()
    {
        _node = await NodeProcess.StartAsync();
        _proxy = new CuttingProxy(_node.Address);
        _direct = VaultClient.Connect(_node.Address);
        _cut = VaultClient.Connect(_proxy.Address, Some.Quick);
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask();

    public async ValueTask DisposeAsync()
    {
        await _cut.DisposeAsync();
        await _direct.DisposeAsync();
        await _proxy.DisposeAsync();
        await _node.DisposeAsync();
    }

    [Fact]
    public async Task Nothing_comes_into_a_moment_before_the_first_event_or_into_an_empty_vault()
    {
        string[] streams = [.. Enumerable.Range(0, 600).Select(i => $"s-{i:D3}")];
        int appended = 0;
        async Task AppendAllAsync()
        {
            appended++;
            await Task.WhenAll(streams.Select(stream => _direct.AppendAsync(stream, ExpectedVersion.Any, Some.Event(1))));
        }

        await GetInfoAsync();
        var first = new TaskCompletionSource();
        _proxy.CutAfter(MoreThanAFrame, AppendAllAsync, first.Task);
        List<StateResult> empty = await ToListAsync(_cut.States.OfStreamsAsync(streams), first);
        Assert.Equal((1, 1), (_proxy.Cuts, appended));
        Assert.Equal(streams, empty.Select(r => r.Stream));
        Assert.DoesNotContain(empty, r => r.State is { Exists: true });
        Assert.Contains(empty, r => r.State is { Exists: false });
        Assert.Contains(empty, r => r.Failure is StreamNotFoundException);

        var before = AsOf.Time(new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero));
        for (int bytes = 60; bytes < 60_000; bytes += bytes < 400 ? 60 : 12_000)
        {
            await GetInfoAsync();
            _proxy.CutAfter(bytes);
            List<StateResult> none = await _cut.States.OfStreamsAsync(streams, before).ToListAsync();
            Assert.Equal(streams, none.Select(r => r.Stream));
            Assert.All(none, r => Assert.False(r.Value.Exists));

            await GetInfoAsync();
            _proxy.CutAfter(bytes);
            FoldedState<string> fold = await _cut.States.FoldAsync(Joined, "s-001", before);
            Assert.Equal((false, null, ""), (fold.Exists, fold.Version, fold.State));
        }

        Assert.True(_proxy.Cuts > 5, $"{_proxy.Cuts} cuts");
    }

    [Fact]
    public async Task A_token_keeps_its_second_axis()
    {
        DateTimeOffset then = DateTimeOffset.UnixEpoch;
        for (int i = 0; i < 400; i++)
        {
            await _direct.AppendAsync($"s-{i:D3}", ExpectedVersion.Any, [Occurred(1, then), Occurred(2, then.AddDays(2))]);
        }

        string token = (await _direct.States.GetAsync("s-000", AsOf.Latest.WithOccurred(then.AddDays(1)))).Token!;
        await GetInfoAsync();
        var first = new TaskCompletionSource();
        _proxy.CutAfter(MoreThanAFrame, () => _direct.AppendAsync("s-399", ExpectedVersion.Any, Occurred(3, then)), first.Task);
        List<StateResult> all = await ToListAsync(_cut.States.OfCategoryAsync("s", AsOf.Token(token)), first);
        Assert.Equal((1, 400), (_proxy.Cuts, all.Count));
        Assert.All(all, r => Assert.Equal("""{"n":1}""", Encoding.UTF8.GetString(r.Value.Json.Span)));
    }

    [Theory]
    [InlineData("each change")]
    [InlineData("every 3")]
    [InlineData("every second")]
    public async Task A_history_is_the_same_wherever_it_is_cut(string step)
    {
        // Three lives, of which the middle one is shorter than a step, and states that stay the same now and then.
        var written = new List<AppendResult>();
        foreach (int events in new[] { 10, 2, 15 })
        {
            for (int i = 0; i < events; i++)
            {
                written.Add(await _direct.AppendAsync("s-1", ExpectedVersion.Any, Large(i / 2)));
            }

            await _direct.DeleteStreamAsync("s-1", ExpectedVersion.Any);
        }

        var options = new StateHistoryOptions
        {
            Step = step switch
            {
                "each change" => HistoryStep.EachChange,
                "every 3" => HistoryStep.Events(3),
                _ => HistoryStep.Time((written[^1].RecordedAt - written[0].RecordedAt) / 20),
            },
            From = step == "every second" ? AsOf.BeforeTime(written[0].RecordedAt) : null,
            Until = step == "every second" ? AsOf.Time(written[^1].RecordedAt) : AsOf.Latest,
        };
        List<StateStep> whole = await _direct.States.HistoryAsync("s-1", options).ToListAsync();
        Assert.True(whole.Count > 8, $"{whole.Count} steps");
        foreach (int count in new[] { 1, 2, 3, 5 })
        {
            await GetInfoAsync();
            var delivered = new TaskCompletionSource();
            _proxy.CutAfter(MoreThanAFrame + (count * 8200), when: delivered.Task);
            List<StateStep> again = await ToListAsync(_cut.States.HistoryAsync("s-1", options), delivered, count);
            Assert.Equal(whole.Select(Text), again.Select(Text));

            await GetInfoAsync();
            _proxy.CutAfter(500 * count);
            List<StateStep> some = await _cut.States.HistoryAsync("s-1", options with { Limit = 7 }).ToListAsync();
            Assert.Equal(whole.Take(7).Select(Text), some.Select(Text));
        }

        Assert.Equal(8, _proxy.Cuts);
    }

    [Fact]
    public async Task A_history_loses_no_step_to_a_truncation_meanwhile()
    {
        await _direct.Reducers.DefineAsync("sum", Reducer.Slots("sum = SUM(n)"), new DefineReducerOptions { Categories = ["s"] });
        foreach (string stream in new[] { "s-1", "other" })
        {
            await _direct.AppendAsync(stream, ExpectedVersion.NoStream, Enumerable.Range(0, 1000).Select(Some.Event));
        }

        // With an anchor the rest goes on; as far as the last step is there.
        List<StateStep> whole = await _direct.States.HistoryAsync("s-1", reducer: Reducer.Named("sum")).ToListAsync();
        await GetInfoAsync();
        var first = new TaskCompletionSource();
        _proxy.CutAfter(MoreThanAFrame, () => _direct.TruncateStreamAsync("s-1", before: 1, ExpectedVersion.Any), first.Task);
        List<StateStep> again = await ToListAsync(_cut.States.HistoryAsync("s-1", reducer: Reducer.Named("sum")), first);
        Assert.Equal((1, 1000), (_proxy.Cuts, again.Count));
        Assert.Equal(whole.Select(Text), again.Select(Text));

        // The last step is gone, or without what went into it.
        foreach ((string stream, ulong before) in new[] { ("s-1", 990ul), ("other", 1ul) })
        {
            await GetInfoAsync();
            first = new TaskCompletionSource();
            _proxy.CutAfter(MoreThanAFrame, () => _direct.TruncateStreamAsync(stream, before, ExpectedVersion.Any), first.Task);
            var delivered = new List<ulong>();
            VaultException told = await Assert.ThrowsAnyAsync<VaultException>(async () =>
            {
                await foreach (StateStep step in _cut.States.HistoryAsync(stream, new StateHistoryOptions { AllowPartial = true }, Reducer.Slots("sum = SUM(n)")))
                {
                    first.TrySetResult();
                    delivered.Add(step.State.Version!.Value);
                }
            });
            Assert.True(told.Code is VaultErrorCode.HistoryTruncated or VaultErrorCode.IncompleteHistory, $"{told}");
            Assert.Equal(Enumerable.Range((int)delivered[0], delivered.Count).Select(v => (ulong)v), delivered);
        }
    }

    [Fact]
    public async Task A_partial_fold_goes_on_wherever_it_is_cut()
    {
        await _direct.AppendAsync("s-1", ExpectedVersion.NoStream, Enumerable.Range(0, 120).Select(Large));
        await _direct.TruncateStreamAsync("s-1", before: 90, ExpectedVersion.Any);
        var options = new StateOptions { AllowPartial = true };
        FoldedState<string> whole = await _direct.States.FoldAsync(Joined, "s-1", options: options);
        for (int bytes = 60; bytes < 60_000; bytes += bytes < 400 ? 60 : 12_000)
        {
            await GetInfoAsync();
            _proxy.CutAfter(bytes);
            FoldedState<string> again = await _cut.States.FoldAsync(Joined, "s-1", options: options);
            Assert.Equal((whole.State, whole.Version, 90ul), (again.State, again.Version, again.PartialFromVersion));
        }

        Assert.True(_proxy.Cuts > 5, $"{_proxy.Cuts} cuts");
    }

    private static EventData Large(int number) => new("happened", Encoding.UTF8.GetBytes($"{{\"n\":{number},\"pad\":\"{new string('x', 8000)}\"}}"));

    private static EventData Occurred(int number, DateTimeOffset time) =>
        new("happened", Encoding.UTF8.GetBytes($"{{\"n\":{number}}}")) { OccurredAt = time };

    private static string Text(StateStep step) => string.Create(
        CultureInfo.InvariantCulture, $"{step.Time?.Ticks} {step.State.Version} {step.State.Position} {step.State.Deleted} {step.State.StateHash}");

    private static async Task<List<T>> ToListAsync<T>(IAsyncEnumerable<T> source, TaskCompletionSource delivered, int count = 1)
    {
        var list = new List<T>();
        await foreach (T item in source)
        {
            list.Add(item);
            if (list.Count == count)
            {
                delivered.TrySetResult();
            }
        }

        return list;
    }

    // So that what comes next runs over a connection that is open.
    private Task<VaultInfo> GetInfoAsync() => _cut.GetInfoAsync();
}
