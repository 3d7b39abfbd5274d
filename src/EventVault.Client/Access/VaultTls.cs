using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EventVault.Client;

/// <summary>Makes TLS settings from PEM files, for <see cref="VaultClientOptions.Tls"/>.</summary>
public static class VaultTls
{
    /// <summary>
    /// Trusts nodes whose certificates an authority has signed, for the name by which they are reached, and shows a certificate to them. The
    /// client's own certificate is read again for each new connection, so that it can be renewed by writing the files anew.
    /// </summary>
    /// <param name="authority">Certificates that nodes' ones must be signed by; null: those that the system trusts.</param>
    /// <param name="certificate">What to show; its common name is the user. Null: nothing.</param>
    /// <param name="key">Key of the certificate; given exactly if that is.</param>
    /// <exception cref="ArgumentException">Of certificate and key one is missing, or the authority's file has no certificate.</exception>
    /// <exception cref="CryptographicException">A file holds no certificate or key, or they don't belong together.</exception>
    /// <exception cref="IOException">A file can't be read.</exception>
    public static SslClientAuthenticationOptions FromFiles(string? authority = null, string? certificate = null, string? key = null)
    {
        if ((certificate is null) != (key is null))
        {
            throw new ArgumentException("A certificate needs its key, and a key its certificate.");
        }

        var options = new SslClientAuthenticationOptions { CertificateRevocationCheckMode = X509RevocationMode.NoCheck };
        if (authority is not null)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(authority);
            if (policy.CustomTrustStore.Count == 0)
            {
                throw new ArgumentException($"There is no certificate in {authority}.");
            }

            options.CertificateChainPolicy = policy;
        }

        if (certificate is not null)
        {
            X509Certificate2 shown = X509Certificate2.CreateFromPemFile(certificate, key);
            options.LocalCertificateSelectionCallback = (_, _, _, _, _) =>
            {
                try
                {
                    shown = X509Certificate2.CreateFromPemFile(certificate, key);
                }
                catch (Exception e) when (e is CryptographicException or IOException)
                {
                    // The two files are being written: what was there before still counts.
                }

                return shown;
            };
        }

        return options;
    }
}
