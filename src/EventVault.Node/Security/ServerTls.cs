// TLS of the ports for clients. The certificate, and who may have signed those of clients, are read from files that are looked at again with
// each handshake: they are renewed by writing the files anew. Connections that stand go on with the certificate that they were shown; what their clients have
// shown is looked at again when the authorities have changed.
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using EventVault.Rpc.Server;

namespace EventVault.Node.Security;

/// <summary>The files that TLS of the client ports takes.</summary>
/// <param name="Certificate">PEM, with its chain.</param>
/// <param name="Key">PEM key of it.</param>
/// <param name="ClientAuthorities">PEM certificates that have signed those of users; null: clients are asked for none.</param>
internal sealed record TlsFiles(string Certificate, string Key, string? ClientAuthorities);

/// <summary>What the client ports show and accept.</summary>
internal sealed class ServerTls
{
    /// <summary>Of a certificate that may speak for a user (RFC 5280, section 4.2.1.12).</summary>
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly FileValue<Loaded> _files;

    /// <exception cref="System.Security.Cryptography.CryptographicException">A file holds no certificate or key, or they don't belong together.</exception>
    /// <exception cref="IOException">A file can't be read.</exception>
    public ServerTls(TlsFiles files, ILogger log)
    {
        string[] all = files.ClientAuthorities is { } authorities ? [files.Certificate, files.Key, authorities] : [files.Certificate, files.Key];
        _files = new FileValue<Loaded>(all, () => Load(files, log), e => SecurityLogMessages.FileNotRead(log, e, files.Certificate));
    }

    /// <summary>Until when the certificate is valid that the next handshake shows.</summary>
    public DateTime ValidUntil => _files.Current.Certificate.TargetCertificate.NotAfter.ToUniversalTime();

    /// <summary>What the handshake of a connection takes. Puts what the client shows, if it is good, on the connection.</summary>
    public SslServerAuthenticationOptions For(RpcConnection connection)
    {
        var now = _files.Current;
        var options = new SslServerAuthenticationOptions { ServerCertificateContext = now.Certificate };
        if (now.ClientAuthorities is { } authorities)
        {
            // Asked for, not demanded: a client may have other credentials. One that shows a certificate must show a good one.
            options.ClientCertificateRequired = true;
            options.CertificateRevocationCheckMode = X509RevocationMode.NoCheck;
            options.RemoteCertificateValidationCallback = (_, shown, sent, _) => shown is null || Accept(connection, shown, sent, authorities);
        }

        return options;
    }

    /// <summary>Whether one that was accepted in a handshake would still be.</summary>
    public bool Holds(ShownCertificate shown) => _files.Current.ClientAuthorities is { } authorities && shown.IsSignedBy(authorities);

    /// <summary>Whether authorities have signed a certificate for a client.</summary>
    /// <param name="certificate">It.</param>
    /// <param name="others">Certificates that may stand between.</param>
    /// <param name="authorities">Whose signatures count.</param>
    public static bool IsGood(X509Certificate2 certificate, X509Certificate2Collection others, X509Certificate2Collection authorities)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ApplicationPolicy.Add(new System.Security.Cryptography.Oid(ClientAuthentication));
        chain.ChainPolicy.CustomTrustStore.AddRange(authorities);
        chain.ChainPolicy.ExtraStore.AddRange(others);
        return chain.Build(certificate);
    }

    private static bool Accept(RpcConnection connection, X509Certificate shown, X509Chain? sent, X509Certificate2Collection authorities)
    {
        // Copies: what the handshake gives goes with it.
        var certificate = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        var others = new X509Certificate2Collection();
        foreach (var element in sent?.ChainElements.Skip(1) ?? [])
        {
            others.Add(X509CertificateLoader.LoadCertificate(element.Certificate.RawData));
        }

        if (!IsGood(certificate, others, authorities))
        {
            return false;
        }

        connection.Shown = new ShownCertificate(certificate, others, authorities);
        return true;
    }

    private static Loaded Load(TlsFiles files, ILogger log)
    {
        var chain = new X509Certificate2Collection();
        chain.ImportFromPemFile(files.Certificate);
        var certificate = SslStreamCertificateContext.Create(X509Certificate2.CreateFromPemFile(files.Certificate, files.Key), chain, offline: true);
        SecurityLogMessages.TellOfTime(log, files.Certificate, certificate.TargetCertificate);
        if (files.ClientAuthorities is null)
        {
            return new Loaded(certificate, null);
        }

        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(files.ClientAuthorities);
        return authorities.Count > 0 ? new Loaded(certificate, authorities) : throw new ArgumentException($"There is no certificate in {files.ClientAuthorities}.");
    }

    private sealed record Loaded(SslStreamCertificateContext Certificate, X509Certificate2Collection? ClientAuthorities);
}
