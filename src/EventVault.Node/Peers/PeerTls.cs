// Mutual TLS between nodes: each side shows a certificate that the vault's own authority has signed for a node. Which node it is, it says in its hello, and
// whoever has such a certificate is trusted to say so; but its common name must begin with `node:`, as `vault-admin certificates` makes them. An authority
// that signs for users and web servers, too, lets none of these in by that: no user's name has a colon, nor has any host's. Files are looked at
// again with new connections: certificates are renewed by writing them anew.
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EventVault.Node.Security;
using Microsoft.Extensions.Logging.Abstractions;

namespace EventVault.Node.Peers;

/// <summary>The certificate of a node, and who must have signed those of the others.</summary>
internal sealed class PeerTls
{
    private const SslProtocols Versions = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>What a node's certificate is for, if it says what it is for (RFC 5280, section 4.2.1.12).</summary>
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";

    /// <summary>How the common name of a node's certificate begins.</summary>
    public const string NodeName = "node:";

    private readonly Func<Shown> _shown;
    private readonly string? _file;
    private volatile ILogger _log = NullLogger.Instance;

    private PeerTls(string certificateFile, string keyFile, string authorityFile)
    {
        _file = certificateFile;
        var files = new FileValue<Shown>(
            [certificateFile, keyFile, authorityFile], () => Read(certificateFile, keyFile, authorityFile), e => SecurityLogMessages.FileNotRead(_log, e, certificateFile));
        _shown = () => files.Current;
    }

    /// <param name="certificate">Of this node, with its private key; others of its chain may stand in <paramref name="authorities"/>.</param>
    /// <param name="authorities">Whose signatures count.</param>
    /// <exception cref="ArgumentException">The certificate has no private key, or is no node's, or there is no authority.</exception>
    public PeerTls(X509Certificate2 certificate, X509Certificate2Collection authorities)
    {
        var shown = Checked(certificate, authorities);
        _shown = () => shown;
    }

    /// <summary>Until when the certificate is valid that the next handshake shows.</summary>
    public DateTime ValidUntil => _shown().Certificate.TargetCertificate.NotAfter.ToUniversalTime();

    /// <summary>From now on the log is told of files that have changed and can't be used, and of certificates outside their time; also of the present one.</summary>
    public void LogTo(ILogger log)
    {
        _log = log;
        TellOfTime(_shown().Certificate.TargetCertificate);
    }

    private static Shown Checked(X509Certificate2 certificate, X509Certificate2Collection authorities)
    {
        if (!certificate.HasPrivateKey)
        {
            throw new ArgumentException($"The certificate {certificate.Subject} has no private key.", nameof(certificate));
        }

        if (!IsNodes(certificate))
        {
            throw new ArgumentException(
                $"The certificate {certificate.Subject} is no node's: its common name must begin with {NodeName}, or the other nodes refuse it. vault-admin certificates makes such ones.", nameof(certificate));
        }

        if (authorities.Count == 0)
        {
            throw new ArgumentException("There is no authority: no other node could be believed.", nameof(authorities));
        }

        return new Shown(SslStreamCertificateContext.Create(certificate, authorities, offline: true), authorities);
    }

    /// <summary>Reads PEM files, and again when they have changed.</summary>
    /// <exception cref="CryptographicException">A file holds no certificate or key, or they don't belong together.</exception>
    /// <exception cref="IOException">A file can't be read.</exception>
    public static PeerTls Load(string certificateFile, string keyFile, string authorityFile) => new(certificateFile, keyFile, authorityFile);

    /// <summary>Encrypts a connection that this node has dialled.</summary>
    /// <exception cref="AuthenticationException">The other side shows no certificate that counts; the message says what is wrong with it.</exception>
    public Task<SslStream> DialAsync(Stream stream, CancellationToken cancellation) => SecureAsync(stream, (tls, validate) => tls.AuthenticateAsClientAsync(
        new SslClientAuthenticationOptions
        {
            TargetHost = "eventvault-node",
            ClientCertificateContext = _shown().Certificate,
            EnabledSslProtocols = Versions,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = validate,
        },
        cancellation));

    /// <summary>Encrypts a connection that another node has dialled.</summary>
    /// <exception cref="AuthenticationException">The other side shows no certificate that counts; the message says what is wrong with it.</exception>
    public Task<SslStream> AcceptAsync(Stream stream, CancellationToken cancellation) => SecureAsync(stream, (tls, validate) => tls.AuthenticateAsServerAsync(
        new SslServerAuthenticationOptions
        {
            ServerCertificateContext = _shown().Certificate,
            ClientCertificateRequired = true,
            EnabledSslProtocols = Versions,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            RemoteCertificateValidationCallback = validate,
        },
        cancellation));

    private Shown Read(string certificateFile, string keyFile, string authorityFile)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(authorityFile);
        var shown = Checked(X509Certificate2.CreateFromPemFile(certificateFile, keyFile), authorities);
        TellOfTime(shown.Certificate.TargetCertificate);
        return shown;
    }

    private void TellOfTime(X509Certificate2 certificate) => SecurityLogMessages.TellOfTime(_log, _file ?? "no file", certificate);

    private async Task<SslStream> SecureAsync(Stream stream, Func<SslStream, RemoteCertificateValidationCallback, Task> authenticate)
    {
        var tls = new SslStream(stream, leaveInnerStreamOpen: false);
        string? wrong = null;
        try
        {
            await authenticate(tls, (_, certificate, chain, _) => (wrong = WhyNot(certificate, chain)) is null);
            return tls;
        }
        catch (Exception e)
        {
            await tls.DisposeAsync();
            throw e is AuthenticationException or IOException
                ? new AuthenticationException(wrong ?? $"TLS can't be agreed on: {e.InnerException?.Message ?? e.Message}", e)
                : e;
        }
    }

    private string? WhyNot(X509Certificate? shown, X509Chain? sent)
    {
        if (shown is null)
        {
            return "it shows no certificate";
        }

        using var certificate = new X509Certificate2(shown);
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;

        // The same authority may sign for users, who are no nodes: theirs are for clients alone.
        chain.ChainPolicy.ApplicationPolicy.Add(new Oid(ServerAuthentication));
        chain.ChainPolicy.CustomTrustStore.AddRange(_shown().Authorities);
        foreach (var element in sent?.ChainElements ?? Enumerable.Empty<X509ChainElement>())
        {
            chain.ChainPolicy.ExtraStore.Add(element.Certificate);
        }

        if (!IsNodes(certificate))
        {
            return $"its certificate ({certificate.Subject}, of {certificate.Issuer}) does not count: its common name does not begin with {NodeName}, so it is no node's";
        }

        return chain.Build(certificate)
            ? null
            : $"its certificate ({certificate.Subject}, of {certificate.Issuer}) does not count: {string.Join(", ", chain.ChainStatus.Select(s => s.StatusInformation.Trim()))}";
    }

    private static bool IsNodes(X509Certificate2 certificate) => ShownCertificate.NameIn(certificate)?.StartsWith(NodeName, StringComparison.Ordinal) == true;

    private sealed record Shown(SslStreamCertificateContext Certificate, X509Certificate2Collection Authorities);
}
