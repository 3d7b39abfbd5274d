using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EventVault.Admin.Commands;

/// <summary>
/// <c>certificates</c>: an authority of the vault's own, a certificate for each node and each user. Asks no node. Run again on the same folder it
/// keeps the authority, and makes new certificates for those that are named.
/// </summary>
internal static class CertificatesCommand
{
    private const string AuthorityName = "authority";
    private const string ServerUse = "1.3.6.1.5.5.7.3.1";
    private const string ClientUse = "1.3.6.1.5.5.7.3.2";

    /// <summary>The authority's key is kept apart and seldom used.</summary>
    private static readonly TimeSpan AuthorityLasts = TimeSpan.FromDays(3650);

    /// <summary>Certificates may be used at once by machines whose clocks are behind.</summary>
    private static readonly TimeSpan BeginsBefore = TimeSpan.FromHours(1);

    public static Command Create(GlobalOptions global)
    {
        var folder = new Argument<string>("folder") { Description = "Gets the files: authority.pem and .key, and for each name NAME.pem and NAME.key." };
        var nodes = new Option<string[]>("--node") { Description = "A node: the host name or IP address by which clients reach it, more with commas between. May be repeated.", HelpName = "host,…" };
        var users = new Option<string[]>("--for-user") { Description = "A user that shows who it is by certificate, such as admin. May be repeated.", HelpName = "name" };
        var days = new Option<int>("--days") { Description = "How long nodes' and users' certificates last.", HelpName = "N", DefaultValueFactory = _ => 365 };
        var command = new CommandWithExamples(
            "certificates",
            "Make certificates: an authority, if the folder has none yet, and one for each node and user. Those that are there are made anew; nodes take them while they run.",
            "certificates ./certificates --node node1.example,10.0.0.1 --node node2.example,10.0.0.2 --for-user admin") { folder, nodes, users, days };
        global.Run(command, async (parse, context) =>
        {
            var path = parse.GetValue(folder)!;
            var (named, people) = (parse.GetValue(nodes) ?? [], parse.GetValue(users) ?? []);
            CheckNames([.. named.Select(static n => n.Split(',')[0]), .. people]);
            CheckHosts(named);
            var lasts = TimeSpan.FromDays(parse.GetValue(days) is > 0 and <= 3650 and var n ? n : throw new UsageException($"{days.Name} must be from 1 to 3650."));
            Directory.CreateDirectory(path);
            using var authority = await AuthorityAsync(path, context.Stop);
            foreach (var node in named)
            {
                var hosts = node.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
                await IssueAsync(authority, path, hosts[0], $"node:{hosts[0]}", hosts, [ServerUse, ClientUse], lasts, context.Stop);
            }

            foreach (var user in people)
            {
                await IssueAsync(authority, path, user, user, [], [ClientUse], lasts, context.Stop);
            }

            Tell(context, path, [.. named.Select(static n => n.Split(',')[0]), .. people]);
            return ExitCode.Done;
        });
        return command;
    }

    private static void CheckHosts(string[] nodes)
    {
        var forms = new IdnMapping();
        foreach (var host in nodes.SelectMany(static n => n.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).Where(static h => !IPAddress.TryParse(h, out _)))
        {
            try
            {
                // As the certificate will have it; a whole label may be a star (RFC 6125, section 6.4.3).
                var name = forms.GetAscii(host);
                if (Uri.CheckHostName(name.StartsWith("*.", StringComparison.Ordinal) ? name[2..] : name) != UriHostNameType.Dns)
                {
                    throw new UsageException($"\"{host}\" is no host name and no IP address.");
                }
            }
            catch (ArgumentException e)
            {
                throw new UsageException($"\"{host}\" is no host name and no IP address: {e.Message.Split(" (Parameter", 2)[0]}");
            }
        }
    }

    private static void CheckNames(List<string> names)
    {
        foreach (var name in names)
        {
            if (name.Length == 0 || name == AuthorityName || name.AsSpan().ContainsAny('/', '\\', ':') || name[0] is '.' or '$' || names.Count(n => n == name) > 1)
            {
                throw new UsageException($"\"{name}\" can't be the name of a certificate here: each stands once, and names a file.");
            }
        }
    }

    private static async Task<X509Certificate2> AuthorityAsync(string folder, CancellationToken stop)
    {
        var (certificateFile, keyFile) = (Path.Combine(folder, AuthorityName + ".pem"), Path.Combine(folder, AuthorityName + ".key"));
        if (File.Exists(certificateFile))
        {
            return X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
        }

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=EventVault authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = DateTimeOffset.UtcNow;
        var authority = request.CreateSelfSigned(now - BeginsBefore, now + AuthorityLasts);
        await PrivateFile.WriteAsync(keyFile, key.ExportPkcs8PrivateKeyPem() + "\n", stop);
        await File.WriteAllTextAsync(certificateFile, authority.ExportCertificatePem() + "\n", stop);
        return authority;
    }

    private static async Task IssueAsync(
        X509Certificate2 authority, string folder, string file, string name, string[] hosts, string[] uses, TimeSpan lasts, CancellationToken stop)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName(name);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([.. uses.Select(static u => new Oid(u))], critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        if (hosts.Length > 0)
        {
            var names = new SubjectAlternativeNameBuilder();
            foreach (var host in hosts)
            {
                if (IPAddress.TryParse(host, out var address))
                {
                    names.AddIpAddress(address);
                }
                else
                {
                    names.AddDnsName(host);
                }
            }

            request.CertificateExtensions.Add(names.Build());
        }

        var now = DateTimeOffset.UtcNow;
        var ends = now + lasts < authority.NotAfter ? now + lasts : authority.NotAfter;
        using var certificate = request.Create(authority, now - BeginsBefore, ends, RandomNumberGenerator.GetBytes(16));
        await ReplaceAsync(Path.Combine(folder, file + ".key"), key.ExportPkcs8PrivateKeyPem() + "\n", stop);
        await ReplaceAsync(Path.Combine(folder, file + ".pem"), certificate.ExportCertificatePem() + "\n", stop);
    }

    // A node that reads meanwhile finds the old file or the new one, never a half.
    private static async Task ReplaceAsync(string path, string text, CancellationToken stop)
    {
        var made = path + ".new";
        File.Delete(made);
        await PrivateFile.WriteAsync(made, text, stop);
        File.Move(made, path, overwrite: true);
    }

    private static void Tell(CommandContext context, string folder, IReadOnlyList<string> names)
    {
        if (!context.Output.Json)
        {
            context.Output.WriteLine($"Wrote {(names.Count == 0 ? "the authority alone" : string.Join(", ", names.Select(static n => n + ".pem")))} to {folder}.");
            context.Output.WriteLine("Nodes: --tls-cert, --tls-key, --tls-client-ca authority.pem; between nodes --peer-tls-cert, --peer-tls-key, --peer-tls-ca authority.pem. Clients: --authority authority.pem.");
            context.Output.WriteLine($"Keep {AuthorityName}.key away from nodes and clients: whoever has it can be anybody.");
            return;
        }

        context.Output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteString("folder", folder);
            NameLists.Write(w, "certificates", names);
            w.WriteEndObject();
        });
    }
}
