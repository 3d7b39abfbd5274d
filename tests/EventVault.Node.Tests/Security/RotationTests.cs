// Certificates, authorities of clients and keys of tokens are changed while a client works: no request of it fails.
using System.Net.Security;
using System.Text.Json;
using EventVault.Client;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace EventVault.Node.Tests.Security;

public sealed class RotationTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task Certificates_and_keys_are_renewed_under_load_without_a_failed_request()
    {
        using var signer = new TokenSigner();
        await using var node = await StartAsync(signer, tls: true);
        await node.SetUserAsync("worker", null, "writer");
        using var stop = new CancellationTokenSource();
        await using var client = VaultClient.Connect(
            $"eventvaults://localhost:{node.Address.Port}",
            new VaultClientOptions { Tls = node.Trust(), Credentials = VaultCredentials.Token(_ => ValueTask.FromResult(signer.Token("worker"))) });
        var (appended, seen) = (0L, 0L);
        var load = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await Task.WhenAll(Enumerable.Range(0, 20).Select(i => client.AppendAsync($"a-{i}", Client.ExpectedVersion.Any, Client.EventData.Json("T", new { }))));
                Interlocked.Add(ref appended, 20);
            }
        });
        var subscription = Task.Run(async () =>
        {
            await foreach (var message in client.SubscribeToAllAsync(cancellationToken: stop.Token))
            {
                Interlocked.Increment(ref seen);
            }
        });
        for (var round = 0; round < 2; round++)
        {
            // A certificate with another number; the client's next connection sees it.
            var serial = node.Authority.Issue("node", Path.GetDirectoryName(node.FileIn("node.pem"))!, "localhost");
            await Wait.UntilAsync(async () => await SerialAsync(node) == serial, "new connections see the new certificate");

            // Another key, as whoever issues tokens does it: told first, then used, then the old one withdrawn.
            var next = signer.Announce();
            await File.WriteAllTextAsync(node.FileIn("keys.json"), signer.KeySet());
            await Wait.UntilAsync(async () => !await IsRefusedAsync(node, next), "the new key counts");
            var old = signer.Switch();
            await File.WriteAllTextAsync(node.FileIn("keys.json"), signer.KeySet());
            var (appendedThen, seenThen) = (Interlocked.Read(ref appended), Interlocked.Read(ref seen));
            await Wait.UntilAsync(() => IsRefusedAsync(node, old), "the old key counts no more");
            await Wait.UntilAsync(
                () => Interlocked.Read(ref appended) > appendedThen + 100 && Interlocked.Read(ref seen) > seenThen + 100, "appends and deliveries go on");
            Assert.False(load.IsCompleted);
        }

        await stop.CancelAsync();
        await load.WaitAsync(Limit);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => subscription.WaitAsync(Limit));
    }

    [Fact]
    public async Task A_certificate_outside_its_time_is_told_of_when_it_is_read()
    {
        static string FolderOf(SecureNode node) => Path.GetDirectoryName(node.FileIn("node.pem"))!;
        await using var node = await SecureNode.StartAsync(tls: true, (node, access) =>
        {
            node.Authority.Issue("node", FolderOf(node), "localhost", fromHours: -20);
            return access;
        });
        Assert.Contains($"The certificate CN=node in {node.FileIn("node.pem")} is valid from ", node.Log.All, StringComparison.Ordinal);
        Assert.Equal(1, Told(node));

        // Renewed, but too early.
        var early = node.Authority.Issue("node", FolderOf(node), "localhost", fromHours: 20);
        await Wait.UntilAsync(async () => await SerialAsync(node) == early, "new connections see the new certificate");
        Assert.NotEqual(1, Told(node));

        await using var good = await SecureNode.StartAsync(tls: true);
        Assert.Equal(0, Told(good));

        static int Told(SecureNode node) => node.Log.All.Split('\n').Count(line => line.Contains("refuses this node", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Authorities_of_clients_are_replaced_under_load_without_a_failed_request()
    {
        await using var node = await SecureNode.StartAsync(tls: true);
        await node.SetUserAsync("worker", null, "writer");
        using var next = new TestAuthority("the next authority");
        var (authorities, folder) = (node.FileIn("authority.pem"), Path.GetDirectoryName(node.FileIn("worker.pem"))!);
        using var stop = new CancellationTokenSource();

        // What the nodes' own certificate is signed by stays, so the client reads it once.
        await using var client = VaultClient.Connect($"eventvaults://localhost:{node.Address.Port}", new VaultClientOptions { Tls = node.Trust("worker") });
        node.Authority.Issue("withdrawn", folder);
        var old = VaultTls.FromFiles(authorities, node.FileIn("withdrawn.pem"), node.FileIn("withdrawn.key"));
        var (appended, read, seen) = (0L, 0L, 0L);
        await client.AppendAsync("a-0", Client.ExpectedVersion.NoStream, Client.EventData.Json("T", new { }));
        Task[] load = [Task.Run(AppendAsync), Task.Run(ReadAsync), Task.Run(SubscribeAsync)];

        await File.WriteAllTextAsync(authorities, node.Authority.Pem + "\n" + next.Pem);
        next.Issue("probe", folder);
        var probe = VaultTls.FromFiles(authorities, node.FileIn("probe.pem"), node.FileIn("probe.key"));
        await Wait.UntilAsync(async () => await IsTakenAsync(probe), "the new authority counts");
        Assert.True(await IsTakenAsync(old));
        await GoesOnAsync();

        // The worker gets its new certificate, and then what it has shown counts no more on the connections that stand.
        next.Issue("worker", folder);
        await File.WriteAllTextAsync(authorities, next.Pem);
        await Wait.UntilAsync(async () => !await IsTakenAsync(old), "the old authority counts no more");
        node.Node.Guard.Sweep();
        await GoesOnAsync();

        await stop.CancelAsync();
        await Task.WhenAll(load).WaitAsync(Limit);

        async Task AppendAsync()
        {
            for (; !stop.IsCancellationRequested; Interlocked.Add(ref appended, 20))
            {
                await Task.WhenAll(Enumerable.Range(0, 20).Select(i => client.AppendAsync($"a-{i}", Client.ExpectedVersion.Any, Client.EventData.Json("T", new { }))));
            }
        }

        async Task ReadAsync()
        {
            for (; !stop.IsCancellationRequested; Interlocked.Increment(ref read))
            {
                await client.GetStreamAsync("a-0");
            }
        }

        async Task SubscribeAsync()
        {
            try
            {
                await foreach (var message in client.SubscribeToAllAsync(cancellationToken: stop.Token))
                {
                    Interlocked.Increment(ref seen);
                }
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                // As it was told.
            }
        }

        async Task GoesOnAsync()
        {
            var (appendedThen, readThen, seenThen) = (Interlocked.Read(ref appended), Interlocked.Read(ref read), Interlocked.Read(ref seen));
            await Wait.UntilAsync(
                () => load.Any(l => l.IsCompleted) || (Interlocked.Read(ref appended) > appendedThen + 100 && Interlocked.Read(ref read) > readThen + 10 && Interlocked.Read(ref seen) > seenThen + 100),
                "appends, reads and deliveries go on");
            Assert.All(load, l => Assert.False(l.IsCompleted, $"A request failed: {l.Exception}"));
        }

        async Task<bool> IsTakenAsync(SslClientAuthenticationOptions tls)
        {
            // Nobody of that name is known; whose certificate does not count, gets no answer at all.
            await using var channel = new RpcChannel(node.Address, new RpcChannelOptions { Tls = tls });
            try
            {
                await channel.UnaryAsync(AccessMethods.WhoAmI, new WhoAmIRequest());
                return true;
            }
            catch (RpcException e)
            {
                return e.Code == RpcCode.Unauthenticated;
            }
        }
    }

    [Theory]
    [InlineData("HS256")]
    [InlineData("RS256")]
    [InlineData("ES256")]
    public async Task Tokens_count_as_their_keys_say(string algorithm)
    {
        using var signer = new TokenSigner(algorithm);
        await using var node = await StartAsync(signer, tls: false, rolesClaim: "roles");
        var known = await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), Bearer(signer.Token("x|17", roles: ["reader"])));
        Assert.Equal(("x|17", "read:*"), (known.Name, Assert.Single(known.Grants)));
        foreach (var (wrong, why) in new[]
        {
            (signer.Token("x", audience: "others"), "for another audience"),
            (signer.Token("x", issuer: "https://evil.example"), "of another issuer"),
            (signer.Token("x", ends: DateTime.UtcNow.AddMinutes(-2)), "it has ended"),
            (signer.Token("x", begins: DateTime.UtcNow.AddMinutes(5)), "it has not begun"),
            (signer.Token("admin", roles: ["admin"]), "names nobody that a token can stand for"),
            (signer.Unsigned("x"), "its form or its signature is wrong"),
            (signer.Token("x")[..^4] + "AAAA", "its form or its signature is wrong"),
            (signer.SignedWithPublicKey("x"), "its form or its signature is wrong"),
        })
        {
            var failure = await Fails.WithAsync(RpcCode.Unauthenticated, Reason.NotAuthenticated, () => node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), Bearer(wrong)).AsTask());
            Assert.Contains(why, failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Keys_of_a_url_are_asked_for_again_when_a_token_names_a_new_one_but_not_without_end()
    {
        using var signer = new TokenSigner();
        var clock = new HandClock();
        await using var provider = await Provider.StartAsync(signer.KeySet());
        using var keys = new TokenKeys(provider.Url, e => Assert.Fail(e.Message), clock);
        var tokens = TokensOf(keys);
        Assert.Equal("x", (await tokens.CheckAsync(signer.Token("x"))).Caller?.Name);
        Assert.Equal("x", (await tokens.CheckAsync(signer.Token("x"))).Caller?.Name);
        Assert.Equal(1, provider.Asked);
        var announced = signer.Announce();
        provider.Answer = signer.KeySet();
        Assert.Null((await tokens.CheckAsync(announced)).Caller);
        Assert.Equal(1, provider.Asked); // So soon it is not asked again, whatever tokens name.
        clock.Pass(TimeSpan.FromSeconds(6));
        Assert.Equal("worker", (await tokens.CheckAsync(announced)).Caller?.Name);
        Assert.Equal(2, provider.Asked);
        Assert.Throws<ArgumentException>(() => new TokenKeys("http://issuer.example/jwks", _ => { }, clock));
    }

    [Fact]
    public async Task Keys_of_a_url_that_are_withdrawn_end_with_it_whoever_has_tokens_and_the_same_keys_told_otherwise_do_not()
    {
        using var signer = new TokenSigner();
        var clock = new HandClock();
        signer.Announce();
        var told = signer.KeySet();
        await using var provider = await Provider.StartAsync(told);
        var bad = new List<Exception>();
        using var keys = new TokenKeys(provider.Url, bad.Add, clock);
        var tokens = TokensOf(keys);
        var shown = (await tokens.CheckAsync(signer.Token("x"))).Caller!.TokenKeys;

        // Looking at them, as is done for each open call, has them asked for again; in another order and form they are the same.
        provider.Answer = "{ \"keys\" : [ " + string.Join(" , ", JsonDocument.Parse(told).RootElement.GetProperty("keys").EnumerateArray().Reverse().Select(k => k.GetRawText())) + " ] }";
        clock.Pass(TimeSpan.FromMinutes(11));
        await Wait.UntilAsync(() => tokens.CurrentKeys is not null && provider.Asked == 2, "the keys are asked for");
        Assert.Equal("x", (await tokens.CheckAsync(signer.Token("x"))).Caller?.Name);
        Assert.Same(shown, tokens.CurrentKeys);

        // What is no set of keys withdraws nothing; a set without keys all.
        provider.Answer = "{}";
        clock.Pass(TimeSpan.FromMinutes(11));
        await Wait.UntilAsync(() => tokens.CurrentKeys is not null && bad.Count == 1, "it is told that there are none");
        Assert.Same(shown, tokens.CurrentKeys);
        provider.Answer = "{\"keys\":[]}";
        clock.Pass(TimeSpan.FromMinutes(11));
        await Wait.UntilAsync(() => tokens.CurrentKeys != shown, "the keys are withdrawn");
        Assert.Null((await tokens.CheckAsync(signer.Token("x"))).Caller);
    }

    [Fact]
    public async Task A_token_may_last_to_the_end_of_time()
    {
        using var signer = new TokenSigner("HS256");
        await using var node = await StartAsync(signer, tls: false);
        var ends = new DateTime(9999, 12, 31, 23, 59, 59, DateTimeKind.Utc);
        Assert.Equal("x", (await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), Bearer(signer.Token("x", ends: ends)))).Name);
    }

    private static Tokens TokensOf(TokenKeys keys) => new(new TokenOptions { Keys = "", Issuer = TokenSigner.Issuer, Audience = "vault" }, keys);

    private static async Task<bool> IsRefusedAsync(SecureNode node, string token)
    {
        try
        {
            await node.CallAsync(AccessMethods.WhoAmI, new WhoAmIRequest(), Bearer(token));
            return false;
        }
        catch (RpcException e) when (e.Code == RpcCode.Unauthenticated)
        {
            return true;
        }
    }

    private static RpcMetadata Bearer(string token) => new RpcMetadata().Add("authorization", "Bearer " + token);

    private static Task<SecureNode> StartAsync(TokenSigner signer, bool tls, string? rolesClaim = null) => SecureNode.StartAsync(tls, (node, access) =>
    {
        File.WriteAllText(node.FileIn("keys.json"), signer.KeySet());
        return access with { Tokens = new TokenOptions { Keys = node.FileIn("keys.json"), Issuer = TokenSigner.Issuer, Audience = "vault", RolesClaim = rolesClaim } };
    });

    private static async Task<string> SerialAsync(SecureNode node)
    {
        using var tcp = new System.Net.Sockets.TcpClient();
        await tcp.ConnectAsync("localhost", node.Address.Port);
        await using var tls = new SslStream(tcp.GetStream(), leaveInnerStreamOpen: false, (_, shown, _, _) => shown is not null);
        await tls.AuthenticateAsClientAsync("localhost");
        return ((System.Security.Cryptography.X509Certificates.X509Certificate2)tls.RemoteCertificate!).SerialNumber;
    }

    /// <summary>An address that tells keys.</summary>
    private sealed class Provider : IAsyncDisposable
    {
        private readonly WebApplication _app;
        private int _asked;

        private Provider(string answer)
        {
            Answer = answer;
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
            _app = builder.Build();
            _app.Run(http =>
            {
                Interlocked.Increment(ref _asked);
                return http.Response.WriteAsync(Answer);
            });
        }

        public string Answer { get; set; }

        public int Asked => Volatile.Read(ref _asked);

        public string Url => _app.Urls.Single() + "/jwks";

        public static async Task<Provider> StartAsync(string answer)
        {
            var provider = new Provider(answer);
            await provider._app.StartAsync();
            return provider;
        }

        public ValueTask DisposeAsync() => _app.DisposeAsync();
    }
}
