using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Another vault at a client's address, as after a restore: positions of the one mean nothing in the other.</summary>
public sealed class OtherVaultTests
{
    [Fact]
    public async Task A_client_sends_nothing_to_another_vault_at_its_address_and_goes_on_when_its_own_is_back()
    {
        await using NodeProcess own = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(own.Address, Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event(1));
        await using Subscription subscription = client.SubscribeToAllAsync();
        await using IAsyncEnumerator<RecordedEvent> events = subscription.EventsAsync().GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        Task<bool> next = events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
        own.Kill();
        await using (NodeProcess other = await NodeProcess.StartInPlaceOfAsync(own))
        {
            await using VaultClient direct = VaultClient.Connect(other.Address);
            for (int i = 0; i < 3; i++)
            {
                await direct.AppendAsync("s", ExpectedVersion.Any, Some.Event(10 + i));
            }

            VaultException refused = await RefusedAsync(() => next);
            Assert.Contains("another vault", refused.Message, StringComparison.Ordinal);
            Assert.False(refused.IsTransient);
            await RefusedAsync(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(2)));
            await RefusedAsync(() => client.GetInfoAsync());
            await RefusedAsync(() => client.GetStreamAsync("s"));
            await RefusedAsync(() => client.ReadStreamAsync("s").ToListAsync());
            await RefusedAsync(() => client.States.OfStreamsAsync(["s"]).ToListAsync());
            await RefusedAsync(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
            Assert.Equal(3, (await direct.ReadStreamAsync("s").ToListAsync()).Count);
        }

        await own.StartAgainAsync();
        await client.AppendAsync("s", ExpectedVersion.Exact(0), Some.Event(2));
        Assert.Equal(2, (await client.ReadStreamAsync("s").ToListAsync()).Count);
    }

    // It hears of its vault beside its first call, and of another one from that alone.
    [Fact]
    public async Task A_client_that_only_subscribes_finds_out_as_well()
    {
        await using NodeProcess own = await NodeProcess.StartAsync();
        await using (VaultClient direct = VaultClient.Connect(own.Address))
        {
            await direct.AppendAsync("s", ExpectedVersion.NoStream, Some.Event(1));
        }

        await using VaultClient client = VaultClient.Connect(own.Address, Some.Quick);
        await using Subscription subscription = client.SubscribeToAllAsync();
        await using IAsyncEnumerator<RecordedEvent> events = subscription.EventsAsync().GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        await client.Cluster.StatusAsync();
        Task<bool> next = events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
        own.Kill();
        await using NodeProcess other = await NodeProcess.StartInPlaceOfAsync(own);
        await RefusedAsync(() => next);
    }

    private static async Task<VaultException> RefusedAsync(Func<Task> call)
    {
        VaultException refused = await Assert.ThrowsAsync<VaultException>(call);
        Assert.Equal(VaultErrorCode.OtherVault, refused.Code);
        return refused;
    }
}
