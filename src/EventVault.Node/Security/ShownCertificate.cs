using System.Security.Cryptography.X509Certificates;

namespace EventVault.Node.Security;

/// <summary>The certificate that a client has shown in a handshake, for as long as the connection stands. Safe for concurrent use.</summary>
internal sealed class ShownCertificate
{
    private const string CommonNameType = "2.5.4.3"; // RFC 4519, section 2.3

    private readonly X509Certificate2 _certificate;
    private readonly X509Certificate2Collection _others;
    private volatile Verdict _last;

    /// <param name="certificate">It.</param>
    /// <param name="others">What came with it, or was found, to lead to an authority.</param>
    /// <param name="authorities">Those that have signed it.</param>
    public ShownCertificate(X509Certificate2 certificate, X509Certificate2Collection others, X509Certificate2Collection authorities)
    {
        (_certificate, _others, _last) = (certificate, others, new Verdict(authorities, IsGood: true));
        User = NameIn(certificate) is { } name && UserNames.Problem(name) is null
            ? new Caller(name) { IsBuiltIn = name == Caller.AdminName, EndsAt = new DateTimeOffset(certificate.NotAfter).ToUnixTimeMilliseconds(), Certificate = this }
            : null;
    }

    /// <summary>Who shows it; null: its name can't be a user's.</summary>
    public Caller? User { get; }

    /// <summary>Whether authorities have signed it. Looked at anew only when they are others than the last time.</summary>
    public bool IsSignedBy(X509Certificate2Collection authorities)
    {
        var last = _last;
        if (!ReferenceEquals(last.Authorities, authorities))
        {
            _last = last = new Verdict(authorities, ServerTls.IsGood(_certificate, _others, authorities));
        }

        return last.IsGood;
    }

    /// <summary>
    /// The common name of a certificate. Null: it has none, or several; what the library calls its simple name may be an organisation or an e-mail address.
    /// </summary>
    public static string? NameIn(X509Certificate2 certificate)
    {
        var names = certificate.SubjectName.EnumerateRelativeDistinguishedNames()
            .Where(static n => !n.HasMultipleElements && n.GetSingleElementType().Value == CommonNameType).Select(static n => n.GetSingleElementValue()).ToList();
        return names is [var name] ? name : null;
    }

    private sealed record Verdict(X509Certificate2Collection Authorities, bool IsGood);
}
