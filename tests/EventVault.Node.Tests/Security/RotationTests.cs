// Certificates and keys of tokens are changed while a client works: no request of it fails.
using System.Net.Security;
using System.Security.Cryptography;
using EventVault.Client;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace EventVault.Node.Tests.Security;

public sealed class RotationTests
{
    private const string Issuer = "https://issuer.example";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task Certificates_and_keys_are_renewed_under_load_without_a_failed_request()
    {
        using var signer = new Signer();
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

    [Theory]
    [InlineData("HS256")]
    [InlineData("RS256")]
    [InlineData("ES256")]
    public async Task Tokens_count_as_their_keys_say(string algorithm)
    {
        using var signer = new Signer(algorithm);
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
    public async Task Keys_of_a_url_are_asked_for_again_when_a_token_names_a_new_one()
    {
        using var signer = new Signer();
        var asked = 0;
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        await using var provider = builder.Build();
        provider.Run(http =>
        {
            Interlocked.Increment(ref asked);
            return http.Response.WriteAsync(signer.KeySet());
        });
        await provider.StartAsync();
        using var keys = new TokenKeys(provider.Urls.Single() + "/jwks", e => Assert.Fail(e.Message));
        var tokens = new Tokens(new TokenOptions { Keys = "", Issuer = Issuer, Audience = "vault" }, keys);
        Assert.Equal("x", (await tokens.CheckAsync(signer.Token("x"))).Caller?.Name);
        Assert.Equal("x", (await tokens.CheckAsync(signer.Token("x"))).Caller?.Name);
        Assert.Equal(1, asked);
        using var other = new Signer();
        Assert.Null((await tokens.CheckAsync(other.Token("x"))).Caller);
        Assert.Equal(1, asked); // So soon it is not asked again, whatever tokens name.
        Assert.Throws<ArgumentException>(() => new TokenKeys("http://issuer.example/jwks", _ => { }));
    }

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

    private static Task<SecureNode> StartAsync(Signer signer, bool tls, string? rolesClaim = null) => SecureNode.StartAsync(tls, (node, access) =>
    {
        File.WriteAllText(node.FileIn("keys.json"), signer.KeySet());
        return access with { Tokens = new TokenOptions { Keys = node.FileIn("keys.json"), Issuer = Issuer, Audience = "vault", RolesClaim = rolesClaim } };
    });

    private static async Task<string> SerialAsync(SecureNode node)
    {
        using var tcp = new System.Net.Sockets.TcpClient();
        await tcp.ConnectAsync("localhost", node.Address.Port);
        await using var tls = new SslStream(tcp.GetStream(), leaveInnerStreamOpen: false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync("localhost");
        return ((System.Security.Cryptography.X509Certificates.X509Certificate2)tls.RemoteCertificate!).SerialNumber;
    }

    /// <summary>Whoever makes tokens. Each key has a name of its own.</summary>
    private sealed class Signer(string algorithm = "ES256") : IDisposable
    {
        private readonly List<IDisposable> _made = [];
        private volatile SecurityKey? _key;
        private SecurityKey? _next;

        public void Dispose() => _made.ForEach(static k => k.Dispose());

        /// <summary>A key for later; returns a token of it.</summary>
        public string Announce()
        {
            _next = NewKey();
            return Token("worker", credentials: new SigningCredentials(_next, algorithm));
        }

        /// <summary>From now on with the announced key; returns a token of the old one.</summary>
        public string Switch()
        {
            var old = Token("worker");
            (_key, _next) = (_next, null);
            return old;
        }

        public string Token(
            string user, string audience = "vault", string issuer = Issuer, DateTime? ends = null, DateTime? begins = null, string[]? roles = null, SigningCredentials? credentials = null)
        {
            var claims = new Dictionary<string, object> { ["sub"] = user };
            if (roles is not null)
            {
                claims["roles"] = roles;
            }

            return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
            {
                Issuer = issuer,
                Audience = audience,
                Claims = claims,
                NotBefore = begins ?? DateTime.UtcNow.AddMinutes(-5),
                IssuedAt = DateTime.UtcNow,
                Expires = ends ?? DateTime.UtcNow.AddMinutes(10),
                SigningCredentials = credentials ?? new SigningCredentials(_key ??= NewKey(), algorithm),
            });
        }

        public string Unsigned(string user)
        {
            var parts = Token(user).Split('.');
            return $"{Base64UrlEncoder.Encode("""{"alg":"none","typ":"JWT"}""")}.{parts[1]}.";
        }

        /// <summary>What who knows only the public key can make: HMAC with it as the secret.</summary>
        public string SignedWithPublicKey(string user)
        {
            var key = new SymmetricSecurityKey(System.Text.Encoding.UTF8.GetBytes(KeySet())) { KeyId = (_key ??= NewKey()).KeyId };
            return Token(user, credentials: new SigningCredentials(key, "HS256"));
        }

        public string KeySet()
        {
            var keys = new[] { _key ??= NewKey(), _next }.OfType<SecurityKey>().Select(Public);
            return System.Text.Json.JsonSerializer.Serialize(new { keys });
        }

        private static Dictionary<string, string?> Public(SecurityKey key)
        {
            var web = JsonWebKeyConverter.ConvertFromSecurityKey(key is RsaSecurityKey rsa ? new RsaSecurityKey(rsa.Rsa.ExportParameters(false)) { KeyId = key.KeyId }
                : key is ECDsaSecurityKey ec ? new ECDsaSecurityKey(ECDsa.Create(ec.ECDsa.ExportParameters(false))) { KeyId = key.KeyId } : key);
            var members = new Dictionary<string, string?> { ["kty"] = web.Kty, ["kid"] = key.KeyId, ["k"] = web.K, ["n"] = web.N, ["e"] = web.E, ["crv"] = web.Crv, ["x"] = web.X, ["y"] = web.Y };
            return members.Where(m => m.Value is not null).ToDictionary();
        }

        private SecurityKey NewKey()
        {
            var id = Guid.NewGuid().ToString("N");
            switch (algorithm)
            {
                case "HS256":
                    return new SymmetricSecurityKey(RandomNumberGenerator.GetBytes(32)) { KeyId = id };
                case "RS256":
                    var rsa = RSA.Create(2048);
                    _made.Add(rsa);
                    return new RsaSecurityKey(rsa) { KeyId = id };
                default:
                    var ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);
                    _made.Add(ec);
                    return new ECDsaSecurityKey(ec) { KeyId = id };
            }
        }
    }
}
