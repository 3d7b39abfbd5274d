using EventVault.Client.Tests.Support;
using EventVault.Rpc;

namespace EventVault.Client.Tests;

/// <summary>Another vault at a client's address, as after a restore: positions of the one mean nothing in the other.</summary>
public sealed class OtherVaultTests
{
    private static readonly Guid Another = new("ffffffff-4455-6677-8899-aabbccddeeff");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_sends_nothing_to_another_vault_at_its_address_and_goes_on_when_its_own_is_back(bool stopsInOrder)
    {
        await using NodeProcess own = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(own.Address, Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event(1));
        await using Subscription subscription = client.SubscribeToAllAsync();
        await using IAsyncEnumerator<RecordedEvent> events = subscription.EventsAsync().GetAsyncEnumerator();
        Assert.True(await events.MoveNextAsync());
        Task<bool> next = events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
        if (stopsInOrder)
        {
            await own.StopAsync();
        }

        own.Kill();
        await using (NodeProcess other = await NodeProcess.StartInPlaceOfAsync(own))
        {
            await using VaultClient direct = VaultClient.Connect(other.Address);
            for (int i = 0; i < 3; i++)
            {
                await direct.AppendAsync("s", ExpectedVersion.Any, Some.Event(10 + i));
            }

            VaultException refused = await RefusedAsync(() => next, other);
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
        await client.GetInfoAsync();
        Task<bool> next = events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
        own.Kill();
        await using NodeProcess other = await NodeProcess.StartInPlaceOfAsync(own);
        await RefusedAsync(() => next, other);
    }

    [Fact]
    public async Task What_may_have_been_done_before_is_of_unknown_outcome()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(1));
        node.OnChange = _ =>
        {
            node.VaultId = Another;
            return Fault.CutAfter;
        };
        VaultException unknown = await Assert.ThrowsAsync<VaultException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
        Assert.Equal((VaultErrorCode.OutcomeUnknown, 1), (unknown.Code, node.Changes));
        await RefusedAsync(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
        Assert.Equal(1, node.Changes);
    }

    [Fact]
    public async Task Who_is_refused_when_it_asks_again_which_vault_it_is_is_told_why()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = new RetryPolicy { GiveUpAfter = TimeSpan.Zero } });
        await client.GetInfoAsync();
        int asked = 0;
        node.BeforeUnary = () =>
        {
            asked++;
            return Task.CompletedTask;
        };
        node.UnaryRefusals = 1;
        Assert.Equal(VaultErrorCode.Draining, await CodeAsync(() => client.GetStreamAsync("s")));
        node.NoInfo = () => ScriptedCluster.Refusal(Protocol.Reason.Opening);
        Assert.Equal((VaultErrorCode.Opening, 1), (await CodeAsync(() => client.GetStreamAsync("s")), asked));
        node.NoInfo = () => null;
        Assert.Equal((VaultErrorCode.StreamNotFound, 2), (await CodeAsync(() => client.GetStreamAsync("s")), asked));
    }

    [Fact]
    public async Task One_node_that_stays_another_vaults_does_not_keep_a_client_from_its_own()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(1));
        Guid own = cluster[0].VaultId;
        for (int i = 0; i < 3; i++)
        {
            ScriptedVault node = cluster[i];
            node.VaultId = Another;
            node.BeforeUnary = () =>
            {
                node.BeforeUnary = () => Task.CompletedTask;
                throw new RpcException(RpcCode.Unavailable, "It was away for a moment.");
            };
        }

        await RefusedAsync(() => client.GetStreamAsync("s"));
        for (int i = 1; i < 3; i++)
        {
            cluster[i].VaultId = own;
        }

        VaultErrorCode? code = VaultErrorCode.OtherVault;
        for (int i = 0; i < 4 && code is not null; i++)
        {
            code = await CodeAsync(() => client.GetStreamAsync("s"));
        }

        Assert.Null(code);
    }

    private static async Task<VaultErrorCode?> CodeAsync(Func<Task> call)
    {
        try
        {
            await call();
            return null;
        }
        catch (VaultException e)
        {
            return e.Code;
        }
    }

    private static async Task<VaultException> RefusedAsync(Func<Task> call, NodeProcess? node = null)
    {
        VaultException refused = await Assert.ThrowsAsync<VaultException>(call);
        Assert.True(refused.Code == VaultErrorCode.OtherVault, $"{refused}\n{node?.Output}");
        return refused;
    }
}
