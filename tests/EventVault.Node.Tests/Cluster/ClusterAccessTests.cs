using System.Net;
using System.Text.Json;
using EventVault.Client;
using EventVault.Node.Peers;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Who may call, where there are several nodes: each asks for credentials, under TLS, and they show each other certificates.</summary>
public sealed class ClusterAccessTests : IDisposable
{
    private const string Password = "a-password";
    private const string Another = "another-password";

    private static readonly Protocol.Consistency Local = new() { Local = new Empty() };

    private readonly string _folder = Directory.CreateTempSubdirectory("eventvault-cluster-access-").FullName;
    private readonly TestAuthority _authority = new();

    public ClusterAccessTests()
    {
        File.WriteAllText(In("admin.password"), SecureNode.AdminPassword);
        File.WriteAllText(In("alice.password"), Password + "\n");
        File.WriteAllText(In("authority.pem"), _authority.Pem);
        _authority.Issue("node:localhost", _folder, "localhost");
    }

    public void Dispose()
    {
        _authority.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Users_count_on_all_nodes_and_behind_a_fail_over_and_are_changed_by_the_leader_alone()
    {
        await using var cluster = await NewCluster().WithAsync(3, Secure);
        await SetUserAsync(cluster, "alice", Password);
        await cluster.UntilEqualAsync();
        var (old, follower) = (await cluster.LeaderAsync(), await cluster.FollowerAsync());
        foreach (var node in cluster.Nodes)
        {
            Assert.Equal(("alice", "writer"), await WhoAsync(node, Password));
        }

        // What the leader does is answered with its address, and nothing is recorded of it here.
        await cluster.UntilAsync(() => follower.Node!.Loop.LeaderAddress.Length > 0, "the leader's address");
        var elsewhere = await Fails.WithAsync(
            RpcCode.Unavailable, Reason.NotLeader, () => follower.CallAsync(AccessMethods.RemoveUser, new RemoveUserRequest { OperationId = Make.Id(), Name = "alice" }));
        Assert.Equal(old.Address, elsewhere.Address);

        // What is open on a follower ends there, too.
        await using var subscription = follower.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }, As("alice", Password));
        Assert.True(await subscription.MoveNextAsync());
        await SetUserAsync(cluster, "alice", Another);
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.CredentialsEnded, async () =>
        {
            while (await subscription.MoveNextAsync())
            {
            }
        });
        await cluster.UntilEqualAsync();
        foreach (var node in cluster.Nodes)
        {
            await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => WhoAsync(node, Password));
            Assert.Equal("alice", (await WhoAsync(node, Another)).Name);
        }

        await old.StopAsync();
        await cluster.OnLeaderAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any)), SecureNode.As("alice", Another));
        await cluster.OnLeaderAsync(AccessMethods.RemoveUser, new RemoveUserRequest { OperationId = Make.Id(), Name = "alice" });
        await old.StartAsync();
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
        foreach (var node in cluster.Nodes)
        {
            await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => WhoAsync(node, Another));
        }

        // An act may stand there twice if its leader changed. The one that was refused would stand before the second of these.
        Assert.Equal(["Access/SetUser", "Access/RemoveUser"], (await ActsAsync(old)).Aggregate(new List<string>(), static (acts, act) => acts.LastOrDefault() == act ? acts : [.. acts, act]));
    }

    [Fact]
    public async Task A_node_that_has_not_got_the_users_yet_knows_the_built_in_administrator_alone_and_a_client_asks_the_leader()
    {
        await using var cluster = await NewCluster().WithAsync(1, Secure);
        await SetUserAsync(cluster, "alice", Password);
        var (leader, node) = (cluster.Nodes[0], await cluster.StartUnjoinedAsync(Secure));
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.Channel.UnaryAsync(ClusterMethods.InitCluster, new InitClusterRequest()).AsTask());
        await Fails.WithAsync(
            RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.Channel.UnaryAsync(ClusterMethods.GetCluster, new GetClusterRequest(), As("alice", Password)).AsTask());
        Assert.Empty((await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest())).VaultId);

        // It is of the vault, and has nothing of it.
        var invitation = new InviteRequest { Identity = ByteString.CopyFrom(leader.Node!.Storage.Identity.Encode()), NodeId = 2 };
        await leader.Node.Peers.AskAsync(new PeerTarget(node.PeerAddress), PeerRequestKind.Invite, invitation.ToByteArray(), CancellationToken.None);
        await cluster.UntilAsync(() => node.Node is not null, "it to open the vault's directory");
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => WhoAsync(node, Password));
        Assert.Equal("admin", (await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest())).Name);

        await using (var client = NewClient(node, leader))
        {
            Assert.Equal("alice", (await client.Access.WhoAmIAsync()).Name);
        }

        await using (var client = NewClient(node, leader))
        {
            await client.AppendAsync("s", Client.ExpectedVersion.NoStream, Client.EventData.Json("T", new { }));
        }
    }

    [Fact]
    public async Task A_node_that_is_cut_off_goes_by_the_users_that_it_knows_for_a_while_only()
    {
        await using var cluster = await NewCluster().WithAsync(3, o => Secure(o) with { TrustsUsersFor = TimeSpan.FromSeconds(3) });
        await SetUserAsync(cluster, "alice", Password);
        await cluster.UntilEqualAsync();
        var follower = await cluster.FollowerAsync();
        await cluster.UntilAsync(() => !follower.Node!.Guard.IsCutOff(), "it to notice that it is in touch");
        Assert.Equal("alice", (await WhoAsync(follower, Password)).Name);
        await using var subscription = follower.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() }, As("alice", Password));
        Assert.True(await subscription.MoveNextAsync());

        cluster.Cuts.Isolate(follower.Node!.NodeId(), [.. cluster.Nodes.Where(n => n != follower).Select(n => n.Node!.NodeId())]);
        await cluster.OnLeaderAsync(AccessMethods.RemoveUser, new RemoveUserRequest { OperationId = Make.Id(), Name = "alice" });

        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.CredentialsEnded, async () =>
        {
            while (await subscription.MoveNextAsync())
            {
            }
        });
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NoQuorum, () => WhoAsync(follower, Password));
        await follower.ReadAllAsync(Local);
        cluster.Cuts.Heal();
        await cluster.UntilEqualAsync();
        await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => WhoAsync(follower, Password));
    }

    [Fact]
    public async Task Certificates_of_nodes_and_their_authority_are_replaced_under_load_without_a_failed_request()
    {
        using var authority = new TestAuthority("the next authority");
        var folders = new List<string>();
        await using var cluster = await NewCluster().WithAsync(3, o => Secure(o) with { PeerTls = FirstPeerTls() });
        await SetUserAsync(cluster, "alice", Password);
        await using var client = NewClient([.. cluster.Nodes]);
        using var stop = new CancellationTokenSource();
        var appended = 0L;
        var load = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await Task.WhenAll(Enumerable.Range(0, 5).Select(i => client.AppendAsync($"a-{i}", Client.ExpectedVersion.Any, Client.EventData.Json("T", new { }))));
                Interlocked.Add(ref appended, 5);
            }
        });

        // First all trust both authorities.
        folders.ForEach(folder => File.WriteAllText(Path.Combine(folder, "authority.pem"), _authority.Pem + "\n" + authority.Pem));
        await UntilAllLetInAsync(shown: authority, trusted: _authority, "all trust the new authority, too");
        await GoesOnAsync();

        // Then each shows a certificate of the new one.
        folders.ForEach(folder => authority.Issue("node:own", folder, "localhost"));
        await UntilAllLetInAsync(shown: _authority, trusted: authority, "all show certificates of the new authority");
        await GoesOnAsync();

        // Then the old one is withdrawn.
        folders.ForEach(folder => File.WriteAllText(Path.Combine(folder, "authority.pem"), authority.Pem));
        await UntilAllLetInAsync(shown: authority, trusted: authority, "all trust the new authority");
        foreach (var node in cluster.Nodes)
        {
            await Wait.UntilAsync(async () => !await LetsInAsync(node, _authority, authority), "the old authority counts no more");
        }

        await GoesOnAsync();
        await stop.CancelAsync();
        await load.WaitAsync(Wait.Limit);
        await cluster.UntilEqualAsync();

        // A folder for each node, as on machines of their own.
        PeerTls FirstPeerTls()
        {
            var folder = Directory.CreateDirectory(In($"peer{folders.Count}")).FullName;
            folders.Add(folder);
            File.WriteAllText(Path.Combine(folder, "authority.pem"), _authority.Pem);
            return Issued(_authority, folder);
        }

        // Connections that stand go on as they were agreed on: only new ones show that the nodes still believe each other.
        async Task GoesOnAsync()
        {
            cluster.Cuts.BreakConnections();
            await cluster.UntilAsync(() => cluster.Nodes.All(n => n.Node!.Peers.Links is { Count: 2 } links && links.All(l => l.IsConnected)), "all nodes to be connected anew");
            var before = Interlocked.Read(ref appended);
            await cluster.UntilAsync(() => Interlocked.Read(ref appended) > before + 50 || load.IsCompleted, "appends to go on");
            Assert.False(load.IsCompleted, $"A request failed: {load.Exception}");
        }

        async Task UntilAllLetInAsync(TestAuthority shown, TestAuthority trusted, string what)
        {
            foreach (var node in cluster.Nodes)
            {
                await Wait.UntilAsync(() => LetsInAsync(node, shown, trusted), what);
            }
        }
    }

    private static PeerTls Issued(TestAuthority authority, string folder)
    {
        authority.Issue("node:own", folder, "localhost");
        return PeerTls.Load(Path.Combine(folder, "node:own.pem"), Path.Combine(folder, "node:own.key"), Path.Combine(folder, "authority.pem"));
    }

    // Whether a node takes a certificate of one authority, and shows one of another.
    private async Task<bool> LetsInAsync(ClusterNodeUnderTest node, TestAuthority shown, TestAuthority trusted)
    {
        var folder = Directory.CreateDirectory(In("stranger")).FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "authority.pem"), trusted.Pem);
        var stranger = new PeerHello(Guid.Empty, default, Guid.NewGuid(), 1, "", "");
        var connector = new PeerConnector(new PeerNetworkOptions { Hello = stranger, Tls = Issued(shown, folder) }, static _ => { });
        try
        {
            using var limit = new CancellationTokenSource(Wait.Limit);
            await (await connector.ConnectAsync(new PeerTarget(node.PeerAddress), PeerLane.Requests, limit.Token)).Stream.DisposeAsync();
            return true;
        }
        catch (PeerRequestException)
        {
            return false;
        }
    }

    private string In(string name) => Path.Combine(_folder, name);

    private NodeOptions Secure(NodeOptions options) => options with
    {
        Access = new AccessOptions { AdminPasswordFile = In("admin.password") },
        Tls = new TlsFiles(In("node:localhost.pem"), In("node:localhost.key"), In("authority.pem")),
        PeerTls = PeerTls.Load(In("node:localhost.pem"), In("node:localhost.key"), In("authority.pem")),
    };

    private TestCluster NewCluster() => new() { Host = IPAddress.Loopback, Connect = NewChannel, Caller = SecureNode.Admin };

    private RpcChannel NewChannel(int port) => new(new Uri($"https://localhost:{port}"), new RpcChannelOptions { Tls = VaultTls.FromFiles(In("authority.pem")) });

    private VaultClient NewClient(params ClusterNodeUnderTest[] nodes) => VaultClient.Connect(
        "eventvaults://" + string.Join(',', nodes.Select(n => $"localhost:{n.Options.Port}")),
        new VaultClientOptions { Tls = VaultTls.FromFiles(In("authority.pem")), Credentials = VaultCredentials.PasswordFile("alice", In("alice.password")) });

    private static RpcCallOptions As(string user, string password) => new(Wait.Limit, SecureNode.As(user, password));

    private static async Task<(string Name, string Role)> WhoAsync(ClusterNodeUnderTest node, string password)
    {
        var known = await node.Channel.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), As("alice", password));
        return (known.Name, string.Join(',', known.Roles));
    }

    private static async Task SetUserAsync(TestCluster cluster, string name, string password)
    {
        var roles = new RoleNames { Names = { "writer" } };
        await cluster.OnLeaderAsync(AccessMethods.SetUser, new SetUserRequest { OperationId = Make.Id(), Name = name, Roles = roles, Password = password });
    }

    private static async Task<List<string>> ActsAsync(ClusterNodeUnderTest node)
    {
        var acts = new List<string>();
        await using var read = node.Channel.Start(Methods.ReadStream, new ReadStreamRequest { Stream = "$audit" }, new RpcCallOptions(Headers: SecureNode.Admin));
        while (await read.MoveNextAsync())
        {
            acts.AddRange((read.Current.Events?.Events ?? []).Select(e => JsonDocument.Parse(e.Event.Data.Memory).RootElement.GetProperty("call").GetString()!));
        }

        return acts.FindAll(static a => a.StartsWith("Access/", StringComparison.Ordinal));
    }
}
