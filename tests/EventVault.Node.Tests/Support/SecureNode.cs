using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EventVault.Node.Security;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace EventVault.Node.Tests.Support;

/// <summary>A node that asks for credentials, in clear text or under TLS, and how to call it as somebody.</summary>
internal sealed class SecureNode : IAsyncDisposable
{
    public const string AdminPassword = "admin-secret-7f3a";

    private readonly string _folder = Directory.CreateTempSubdirectory("eventvault-security-").FullName;
    private RpcChannel _channel = null!;

    public TestNode Inner { get; private set; } = null!;

    public Node Node => Inner.Node;

    public RpcChannel Channel => _channel;

    public TestAuthority Authority { get; } = new();

    public Uri Address { get; private set; } = null!;

    /// <summary>All that the node has logged.</summary>
    public KeptLog Log { get; } = new();

    public static RpcMetadata Admin => As(Caller.AdminName, AdminPassword);

    public string FileIn(string name) => Path.Combine(_folder, name);

    public static async Task<SecureNode> StartAsync(
        bool tls, Func<SecureNode, AccessOptions, AccessOptions>? configure = null, Func<NodeOptions, NodeOptions>? more = null)
    {
        var node = new SecureNode();
        await File.WriteAllTextAsync(node.FileIn("admin.password"), AdminPassword + "\n");
        node.Authority.Issue("node", node._folder, "localhost");
        await File.WriteAllTextAsync(node.FileIn("authority.pem"), node.Authority.Pem);
        var access = new AccessOptions { AdminPasswordFile = node.FileIn("admin.password") };
        access = configure?.Invoke(node, access) ?? access;
        node.Inner = await TestNode.StartAsync(o => (more?.Invoke(o) ?? o) with
        {
            Access = access,
            Reflection = true,
            Tls = tls ? new TlsFiles(node.FileIn("node.pem"), node.FileIn("node.key"), node.FileIn("authority.pem")) : null,
            Logging = () => LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(node.Log)),
        });
        node.Address = new Uri($"{(tls ? "https" : "http")}://localhost:{node.Node.RpcEndPoint.Port}");
        node._channel = node.Connect();
        return node;
    }

    /// <summary>Another connection, perhaps with a certificate of the authority's.</summary>
    public RpcChannel Connect(string? certificateOf = null) => new(Address, Address.Scheme == "http" ? null : new RpcChannelOptions { Tls = Trust(certificateOf) });

    public SslClientAuthenticationOptions Trust(string? certificateOf = null)
    {
        if (certificateOf is not null)
        {
            Authority.Issue(certificateOf, _folder);
        }

        return Client.VaultTls.FromFiles(
            FileIn("authority.pem"), certificateOf is null ? null : FileIn(certificateOf + ".pem"), certificateOf is null ? null : FileIn(certificateOf + ".key"));
    }

    public static RpcMetadata As(string user, string password) =>
        new RpcMetadata().Add("authorization", "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}")));

    /// <summary>A call as somebody; as the administrator by default.</summary>
    public ValueTask<TResponse> CallAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, RpcMetadata? caller = null)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => _channel.UnaryAsync(method, request, new RpcCallOptions(Headers: caller ?? Admin));

    public async Task SetUserAsync(string name, string? password, params string[] roles)
    {
        var request = new SetUserRequest { OperationId = Make.Id(), Name = name, Roles = new RoleNames() };
        request.Roles.Names.AddRange(roles);
        if (password is not null)
        {
            request.Password = password;
        }

        await CallAsync(AccessMethods.SetUser, request);
    }

    public async Task SetRoleAsync(string name, params string[] grants)
    {
        var request = new SetRoleRequest { OperationId = Make.Id(), Name = name };
        request.Grants.AddRange(grants);
        await CallAsync(AccessMethods.SetRole, request);
    }

    public async ValueTask DisposeAsync()
    {
        await _channel.DisposeAsync();
        await Inner.DisposeAsync();
        Authority.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

/// <summary>The calls about users and roles.</summary>
internal static class AccessMethods
{
    public static readonly RpcMethod<WhoAmIRequest, WhoAmIResponse> WhoAmI = RpcMethod<WhoAmIRequest, WhoAmIResponse>.Of(Service, "WhoAmI");
    public static readonly RpcMethod<SetUserRequest, AppendResponse> SetUser = RpcMethod<SetUserRequest, AppendResponse>.Of(Service, "SetUser");
    public static readonly RpcMethod<RemoveUserRequest, AppendResponse> RemoveUser = RpcMethod<RemoveUserRequest, AppendResponse>.Of(Service, "RemoveUser");
    public static readonly RpcMethod<SetRoleRequest, AppendResponse> SetRole = RpcMethod<SetRoleRequest, AppendResponse>.Of(Service, "SetRole");
    public static readonly RpcMethod<ChangePasswordRequest, AppendResponse> ChangePassword = RpcMethod<ChangePasswordRequest, AppendResponse>.Of(Service, "ChangePassword");

    private static Google.Protobuf.Reflection.ServiceDescriptor Service => AccessReflection.Descriptor.Services[0];
}

/// <summary>Signs certificates of nodes and users.</summary>
internal sealed class TestAuthority : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _certificate;

    public TestAuthority(string name = "authority of a test")
    {
        var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        _certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    public string Pem => _certificate.ExportCertificatePem();

    /// <summary>Writes NAME.pem and NAME.key; without a host it is for clients alone. Returns the serial number.</summary>
    /// <param name="name">Whose.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="host">For which host.</param>
    /// <param name="fromHours">From when it is valid, counted from now.</param>
    /// <param name="hours">How long.</param>
    public string Issue(string name, string folder, string? host = null, int fromHours = -1, int hours = 2)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(host is null ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1")], critical: false));
        if (host is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            request.CertificateExtensions.Add(names.Build());
        }

        using var signed = request.Create(_certificate, DateTimeOffset.UtcNow.AddHours(fromHours), DateTimeOffset.UtcNow.AddHours(fromHours + hours), RandomNumberGenerator.GetBytes(16));
        File.WriteAllText(Path.Combine(folder, name + ".key"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(Path.Combine(folder, name + ".pem"), signed.ExportCertificatePem());
        return signed.SerialNumber;
    }

    public void Dispose()
    {
        _certificate.Dispose();
        _key.Dispose();
    }
}

/// <summary>Keeps what is logged.</summary>
internal sealed class KeptLog : ILoggerProvider, ILogger
{
    private readonly System.Collections.Concurrent.ConcurrentQueue<string> _lines = new();

    public string All => string.Join('\n', _lines);

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue($"{formatter(state, exception)} {exception}");

    public void Dispose()
    {
        // It holds nothing.
    }
}
