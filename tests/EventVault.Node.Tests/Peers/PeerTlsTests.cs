using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Raft;

namespace EventVault.Node.Tests.Peers;

public sealed class PeerTlsTests
{
    [Fact]
    public async Task Nodes_with_certificates_of_one_authority_talk()
    {
        using var authority = new Authority("right");
        await using var one = await TestPeer.StartAsync(1, o => o with { Tls = authority.Issue("one") });
        await using var two = await TestPeer.StartAsync(2, o => o with { Tls = authority.Issue("two") });
        await TestPeer.ConnectAsync(one, two);
        var group = RandomNumberGenerator.GetBytes(3 * 1024 * 1024);
        one.Send(two, 1);
        one.Send(two, 2, MessageKind.Append, group);
        await two.GotAsync(2);
        Assert.Equal(group, two.Messages.Single(m => m.Groups.Length > 0).Groups[0]);
        var content = RandomNumberGenerator.GetBytes(100_000);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(1 + content.Length, (await one.Network.AskAsync(new PeerTarget(two.Network.ListenAddress), PeerRequestKind.Status, content, CancellationToken.None)).Length);
        }
    }

    [Fact]
    public async Task Files_in_PEM_will_do()
    {
        using var authority = new Authority("right");
        var directory = Directory.CreateTempSubdirectory("eventvault-tls-");
        try
        {
            var tls = authority.IssueAsFiles("one", directory.FullName);
            await using var one = await TestPeer.StartAsync(1, o => o with { Tls = tls });
            await using var two = await TestPeer.StartAsync(2, o => o with { Tls = authority.Issue("two") });
            await TestPeer.ConnectAsync(one, two);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public void A_certificate_that_has_expired_is_told_of()
    {
        using var authority = new Authority("right");
        var log = new KeptLog();
        authority.Issue("one").LogTo(log);
        Assert.Empty(log.All);
        authority.Issue("two", untilHours: -1).LogTo(log);
        Assert.Contains("The certificate CN=node:two in ", log.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_of_another_authority_is_refused_and_named()
    {
        using var authority = new Authority("right");
        using var other = new Authority("other");
        await using var one = await TestPeer.StartAsync(1, o => o with { Tls = authority.Issue("one") });
        await using var two = await TestPeer.StartAsync(2, o => o with { Tls = other.Issue("two") });
        one.Network.SetPeers([two.AsPeer]);
        await Wait.UntilAsync(() => one.LinkTo(two.Id).Problem.Contains("its certificate (CN=node:two, of CN=other) does not count", StringComparison.Ordinal), "the link says what is wrong");

        // And if the dialling side believes everybody, the other one does not.
        await using var lenient = await TestPeer.StartAsync(3, o => o with { Tls = other.Issue("three", alsoTrusts: authority) });
        lenient.Network.SetPeers([one.AsPeer]);
        await one.Log.SaidAsync("its certificate (CN=node:three, of CN=other) does not count");
        lenient.Send(one, 1);
        Assert.Empty(one.Messages);
        Assert.False(lenient.LinkTo(one.Id).IsConnected);
    }

    [Fact]
    public async Task A_certificate_that_the_authority_signed_for_a_client_is_no_nodes()
    {
        using var authority = new Authority("right");
        await using var one = await TestPeer.StartAsync(1, o => o with { Tls = authority.Issue("one") });
        await using var user = await TestPeer.StartAsync(2, o => o with { Tls = authority.Issue("user", forClients: true) });
        user.Network.SetPeers([one.AsPeer]);
        await one.Log.SaidAsync("its certificate (CN=node:user, of CN=right) does not count");
        Assert.False(user.LinkTo(one.Id).IsConnected);
    }

    [Fact]
    public async Task A_certificate_that_the_authority_signed_for_a_web_server_is_no_nodes()
    {
        using var authority = new Authority("right");
        await using var one = await TestPeer.StartAsync(1, o => o with { Tls = authority.Issue("one") });
        using var shown = authority.IssueForOther("www.example");
        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(one.Network.ListenAddress));
        await using var tls = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, (_, other, _, _) => other is not null);
        try
        {
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "anyone", ClientCertificates = [shown] });
            await tls.ReadExactlyAsync(new byte[1]);
        }
        catch (Exception e) when (e is IOException or System.Security.Authentication.AuthenticationException)
        {
            // Ended by the other side.
        }

        await one.Log.SaidAsync("its certificate (CN=www.example, of CN=right) does not count: its common name does not begin with node:");

        // And no node begins with one: the others would refuse it.
        var wrong = Assert.Throws<ArgumentException>(() => new PeerTls(shown, [shown]));
        Assert.Contains("its common name must begin with node:", wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_gets_in_without_a_certificate_or_in_clear_text()
    {
        using var authority = new Authority("right");
        await using var one = await TestPeer.StartAsync(1, o => o with { Tls = authority.Issue("one") });
        await using var clear = await TestPeer.StartAsync(2);
        clear.Network.SetPeers([one.AsPeer]);
        one.Network.SetPeers([clear.AsPeer]);
        await one.Log.SaidAsync("TLS can't be agreed on");
        await Wait.UntilAsync(() => one.LinkTo(clear.Id).Problem.Length > 0 && clear.LinkTo(one.Id).Problem.Length > 0, "both links say that nothing stands");

        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(one.Network.ListenAddress));
        await using var tls = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, (_, shown, _, _) => shown is not null);
        try
        {
            await tls.AuthenticateAsClientAsync("anyone");
            await tls.ReadExactlyAsync(new byte[1]);
        }
        catch (Exception e) when (e is IOException or System.Security.Authentication.AuthenticationException)
        {
            // Ended by the other side.
        }

        await one.Log.SaidAsync("it shows no certificate");
        Assert.Empty(one.Messages);
    }

    [Fact]
    public async Task Clear_text_beyond_this_machine_is_warned_of_once()
    {
        await using var loopback = await TestPeer.StartAsync(1);
        await using var open = await TestPeer.StartAsync(2, o => o with { Address = IPAddress.Any });
        Assert.DoesNotContain(loopback.Log.Lines, l => l.Contains("clear text", StringComparison.Ordinal));
        Assert.Single(open.Log.Lines, l => l.StartsWith("Warning", StringComparison.Ordinal) && l.Contains("clear text", StringComparison.Ordinal));
    }

    /// <summary>Signs certificates.</summary>
    private sealed class Authority : IDisposable
    {
        private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        private readonly X509Certificate2 _certificate;

        public Authority(string name)
        {
            var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
            _certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        }

        public PeerTls Issue(string name, Authority? alsoTrusts = null, bool forClients = false, int untilHours = 1)
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            using var signed = Sign(name, key, forClients, untilHours: untilHours);
            X509Certificate2Collection authorities = alsoTrusts is null ? [Public()] : [Public(), alsoTrusts.Public()];
            return new PeerTls(signed.CopyWithPrivateKey(key), authorities);
        }

        /// <summary>What the same authority signs for others than nodes.</summary>
        public X509Certificate2 IssueForOther(string name)
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            using var signed = Sign(name, key, prefix: string.Empty);
            return signed.CopyWithPrivateKey(key);
        }

        public PeerTls IssueAsFiles(string name, string directory)
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            using var signed = Sign(name, key);
            string Write(string file, string text)
            {
                var path = Path.Combine(directory, file);
                File.WriteAllText(path, text);
                return path;
            }

            return PeerTls.Load(
                Write("node.pem", signed.ExportCertificatePem()), Write("node.key", key.ExportPkcs8PrivateKeyPem()), Write("authority.pem", _certificate.ExportCertificatePem()));
        }

        public void Dispose()
        {
            _certificate.Dispose();
            _key.Dispose();
        }

        private X509Certificate2 Public() => X509CertificateLoader.LoadCertificate(_certificate.RawData);

        private X509Certificate2 Sign(string name, ECDsa key, bool forClients = false, string prefix = PeerTls.NodeName, int untilHours = 1)
        {
            var request = new CertificateRequest($"CN={prefix}{name}", key, HashAlgorithmName.SHA256);
            if (forClients)
            {
                request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.2")], critical: false));
            }

            return request.Create(_certificate, DateTimeOffset.UtcNow.AddHours(untilHours - 2), DateTimeOffset.UtcNow.AddHours(untilHours), RandomNumberGenerator.GetBytes(8));
        }
    }
}
