using System.Collections.Concurrent;
using EventVault.Client.Tests.Support;
using EventVault.Rpc;

namespace EventVault.Client.Tests;

/// <summary>Users stand in the log: a node that is behind does not know all of them, and what it says of credentials is not the last word.</summary>
public sealed class CredentialRefusalTests
{
    [Fact]
    public async Task A_token_that_no_header_can_hold_is_told_without_showing_it_and_nothing_is_sent()
    {
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => VaultCredentials.Token("secret\nword").AddToAsync(new RpcMetadata(), CancellationToken.None).AsTask());
        Assert.Equal((RpcCode.Unauthenticated, true), (e.Code, e.NotProcessed));
        Assert.Contains("U+000A", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Protocol.Reason.NotAuthenticated)]
    [InlineData(Protocol.Reason.NotAllowed)]
    public async Task A_node_that_does_not_know_who_calls_is_not_believed_while_another_one_leads(Protocol.Reason reason)
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.TellsMembers) = (2, false);
        cluster[0].Refuses = _ => reason;
        cluster[1].States.Stream = cluster[2].States.Stream = (_, _) => [new Protocol.GetStateHistoryResponse { Cut = new Protocol.Cut() }];

        // Each way to call, by a client of its own, that does not know yet who leads.
        await OnceAsync(client => client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event()));
        await OnceAsync(client => client.TruncateStreamAsync("s", 0, ExpectedVersion.Exact(0)));
        await OnceAsync(client => client.GetStreamAsync("s"));
        await OnceAsync(client => client.ReadStreamAsync("s").ToListAsync());
        await OnceAsync(async client => await client.SubscribeToAllAsync().EventsAsync().FirstAsync());
        await OnceAsync(client => client.States.HistoryAsync("s").ToListAsync());

        async Task OnceAsync(Func<VaultClient, Task> call)
        {
            await using VaultClient client = cluster.Connect();
            await call(client);
        }
    }

    [Fact]
    public async Task What_every_node_refuses_is_refused_after_each_was_asked_once()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        var asked = new ConcurrentQueue<(int, string)>();
        for (int i = 0; i < 3; i++)
        {
            int node = i;
            cluster[i].Refuses = call =>
            {
                asked.Enqueue((node, call));
                return Protocol.Reason.NotAuthenticated;
            };
        }

        await using VaultClient client = cluster.Connect();
        foreach (Func<Task> call in new Func<Task>[] { () => client.GetStreamAsync("s"), () => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()) })
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(call);
            Assert.Equal(VaultErrorCode.NotAuthenticated, e.Code);
        }

        Assert.Equal([0, 1, 2], asked.Where(a => a.Item2 == "GetStream").Select(a => a.Item1).Order());
    }

    [Fact]
    public async Task A_node_that_is_away_does_not_hide_what_all_others_refuse()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync(nodes: 1);
        cluster[0].Refuses = _ => Protocol.Reason.NotAuthenticated;
        await using VaultClient client = VaultClient.Connect(cluster.Address + ",127.0.0.1:1"); // Nothing listens on a port of the system's.
        foreach (Func<Task> call in new Func<Task>[] { () => client.GetStreamAsync("s"), () => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()) })
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(call);
            Assert.Equal(VaultErrorCode.NotAuthenticated, e.Code);
        }
    }

    [Fact]
    public async Task A_change_of_the_nodes_that_was_cut_off_with_its_credentials_is_not_told_as_not_done()
    {
        await using ScriptedVault vault = await ScriptedVault.StartAsync();
        int asked = 0;
        vault.Refuses = call => call != "RemoveNode" ? null
            : Interlocked.Increment(ref asked) == 1 ? Protocol.Reason.CredentialsEnded // While it was being done.
            : Protocol.Reason.NotAllowed;
        await using VaultClient client = vault.Connect(Some.Quick);

        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.Cluster.RemoveAsync(2));

        Assert.Equal(VaultErrorCode.OutcomeUnknown, e.Code);
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task What_the_leader_refuses_is_final_and_concerns_nothing_else_in_its_session()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect();
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        var others = new ConcurrentQueue<string>();
        cluster[0].Refuses = call => call == "GetStream" ? Protocol.Reason.NotAllowed : null;
        cluster[0].OnAppend = n => n == 2 ? Fault.NotAllowed : Fault.None;
        cluster[1].Refuses = cluster[2].Refuses = call =>
        {
            others.Enqueue(call);
            return null;
        };

        Assert.Equal(VaultErrorCode.NotAllowed, (await Assert.ThrowsAsync<VaultException>(() => client.GetStreamAsync("s"))).Code);
        Task<AppendResult> denied = client.AppendAsync("t", ExpectedVersion.Any, Some.Event());
        Task<AppendResult> taken = client.AppendAsync("u", ExpectedVersion.Any, Some.Event());
        Assert.Equal(VaultErrorCode.NotAllowed, (await Assert.ThrowsAsync<VaultException>(() => denied)).Code);
        await taken;
        Assert.DoesNotContain(others, call => call is "GetStream" or "AppendSession");
        Assert.Equal(1, cluster[0].Sessions);
    }

    [Fact]
    public async Task An_append_without_an_answer_that_is_not_allowed_any_more_may_be_written()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n switch { 1 => Fault.CutAfter, 2 => Fault.NotAllowed, _ => Fault.None };
        await using VaultClient client = node.Connect(Some.Quick);
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, e.Code);
        Assert.Single(node.Vault.Events);
    }

    [Fact]
    public async Task An_append_that_only_a_follower_does_not_allow_is_written_by_the_leader_with_those_beside_it()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.TellsMembers) = (2, false);
        cluster[0].NoLeader = () => null;
        cluster[0].OnAppend = _ => Fault.NotAllowed;
        await using VaultClient client = cluster.Connect();

        await Task.WhenAll(Enumerable.Range(0, 5).Select(i => client.AppendAsync($"s-{i}", ExpectedVersion.NoStream, Some.Event())));

        Assert.Equal(5, cluster.Vault.Events.Count);
    }
}
