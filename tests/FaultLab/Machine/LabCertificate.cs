using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EventVault.FaultLab.Machine;

/// <summary>One certificate for all nodes of a run: clear text is served on loopback only, and the lab's nodes have addresses.</summary>
internal sealed class LabCertificate
{
    private readonly string _thumbprint;

    /// <summary>Makes a key and a certificate of it, and writes both.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="nodes">How many addresses it is for.</param>
    public LabCertificate(string folder, int nodes)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var names = new SubjectAlternativeNameBuilder();
        for (var node = 1; node <= nodes; node++)
        {
            names.AddIpAddress(IPAddress.Parse(LabNetwork.Address(node)));
        }

        var request = new CertificateRequest("CN=fault lab", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(names.Build());
        // Valid whatever the clock that a scenario gives a node.
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddYears(-2), DateTimeOffset.UtcNow.AddYears(2));
        _thumbprint = certificate.Thumbprint;
        CertificateFile = Path.Combine(folder, "lab.crt");
        KeyFile = Path.Combine(folder, "lab.key");
        File.WriteAllText(CertificateFile, certificate.ExportCertificatePem());
        File.WriteAllText(KeyFile, key.ExportPkcs8PrivateKeyPem());
    }

    public string CertificateFile { get; }

    public string KeyFile { get; }

    /// <summary>For clients: this certificate and no other.</summary>
    public SslClientAuthenticationOptions Trust => new()
    {
        RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is X509Certificate2 given && given.Thumbprint == _thumbprint,
    };
}
