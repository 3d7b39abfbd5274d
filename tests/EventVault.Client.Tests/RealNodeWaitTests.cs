using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary><see cref="AsOf.OrWait"/> against the real node: the bound is the caller's, and what is not reached by then has its own refusal.</summary>
public sealed class RealNodeWaitTests
{
    private static readonly Fold<int> Count = new("count", 1, () => 0, (n, _) => n + 1);

    // Of calls that wait for as long as any call may take this test would never see the end.
    private static readonly VaultClientOptions Patient = new() { CallTimeout = TimeSpan.FromHours(1) };

    [Fact]
    public async Task A_wait_ends_with_its_bound_and_by_its_own_reason_and_goes_on_when_the_moment_comes()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address, Patient);
        await client.AppendAsync("s-1", ExpectedVersion.NoStream, Some.Event(1));
        var bound = TimeSpan.FromMilliseconds(200);
        AsOf version = AsOf.Version(5).OrWait(bound);
        AsOf position = AsOf.Position(900).OrWait(bound);
        AsOf time = AsOf.Time(DateTimeOffset.UtcNow.AddDays(1)).OrWait(bound);
        CancellationToken stop = Wait.Token;

        Assert.Equal(0ul, (await Assert.ThrowsAsync<VersionNotReachedException>(() => client.States.GetAsync("s-1", version, cancellationToken: stop))).LastVersion);
        await Assert.ThrowsAsync<PositionNotReachedException>(() => client.States.GetAsync("s-1", position, cancellationToken: stop));
        await Assert.ThrowsAsync<AsOfInFutureException>(() => client.States.GetAsync("s-1", time, cancellationToken: stop));
        await Assert.ThrowsAsync<AsOfInFutureException>(() => client.States.ResolveAsync(time, cancellationToken: stop));
        await Assert.ThrowsAsync<VersionNotReachedException>(() => client.States.FoldAsync(Count, "s-1", version, cancellationToken: stop));
        await Assert.ThrowsAsync<PositionNotReachedException>(() => client.States.StepAsync(Count, "s-1", until: position, cancellationToken: stop).ToListAsync());
        await Assert.ThrowsAsync<AsOfInFutureException>(() => client.States.HistoryAsync("s-1", new StateHistoryOptions { Until = time }, cancellationToken: stop).ToListAsync());
        await Assert.ThrowsAsync<VersionNotReachedException>(() => client.States.HistoryAsync("s-1", new StateHistoryOptions { From = version }, cancellationToken: stop).ToListAsync());
        await Assert.ThrowsAsync<AsOfInFutureException>(() => client.States.OfCategoryAsync("s", time, cancellationToken: stop).ToListAsync());
        await Assert.ThrowsAsync<PositionNotReachedException>(() => client.States.OfStreamsAsync(["s-1"], position, cancellationToken: stop).ToListAsync());

        Task<FoldedState<int>> fold = client.States.FoldAsync(Count, "s-1", AsOf.Version(5).OrWait(Wait.Limit), cancellationToken: stop);
        Task<StreamState> state = client.States.GetAsync("s-1", AsOf.Version(5).OrWait(Wait.Limit), cancellationToken: stop);
        await client.AppendAsync("s-1", ExpectedVersion.Any, Enumerable.Range(0, 5).Select(Some.Event), cancellationToken: stop);
        Assert.Equal((6, 5ul), ((await fold).State, (await state).Version));
    }
}
