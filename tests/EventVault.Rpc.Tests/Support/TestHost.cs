using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace EventVault.Rpc.Tests.Support;

/// <summary>A real Kestrel on a free loopback port, with the echo service unless told otherwise.</summary>
public sealed class TestHost : IAsyncDisposable
{
    private static readonly Lazy<X509Certificate2> SharedCertificate = new(NewCertificate);

    private readonly WebApplication _app;
    private bool _stopped;

    private TestHost(WebApplication app, RpcServer server, EchoService echo, CapturingLogger log, bool tls)
    {
        _app = app;
        Server = server;
        Echo = echo;
        Log = log;
        Address = new Uri(app.Urls.First());
        Tls = tls;
    }

    public RpcServer Server { get; }

    public EchoService Echo { get; }

    public CapturingLogger Log { get; }

    public Uri Address { get; }

    public bool Tls { get; }

    public static X509Certificate2 Certificate => SharedCertificate.Value;

    public static async Task<TestHost> StartAsync(
        bool tls = false,
        Func<CapturingLogger, RpcServerOptions>? options = null,
        Action<RpcServer>? configure = null,
        Action<KestrelServerOptions>? kestrel = null,
        TimeSpan? drain = null)
    {
        var log = new CapturingLogger();
        var server = new RpcServer(options?.Invoke(log) ?? new RpcServerOptions { Logger = log });
        var echo = new EchoService();
        echo.AddTo(server);
        configure?.Invoke(server);

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.AddProvider(log);
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(o =>
        {
            o.ConfigureForRpc();
            kestrel?.Invoke(o);
            o.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = tls ? HttpProtocols.Http1AndHttp2 : HttpProtocols.Http2;
                if (tls)
                {
                    listen.UseHttps(Certificate);
                }
            });
        });
        if (tls)
        {
            builder.WebHost.UseKestrelHttpsConfiguration();
        }

        if (drain is { } limit)
        {
            builder.Services.DrainRpcOnStop(server, limit);
        }

        var app = builder.Build();
        app.UseRpc(server);
        app.Run(context => context.Response.WriteAsync("not gRPC"));
        await app.StartAsync();
        return new TestHost(app, server, echo, log, tls);
    }

    public RpcChannel Connect(RpcChannelOptions? options = null) => new(Address, options ?? (Tls ? new RpcChannelOptions { Tls = TrustTestCertificate() } : null));

    public static SslClientAuthenticationOptions TrustTestCertificate() => new()
    {
        RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate?.GetCertHashString() == Certificate.GetCertHashString(),
    };

    public async Task StopAsync(TimeSpan limit)
    {
        _stopped = true;
        using var timeout = new CancellationTokenSource(limit);
        await _app.StopAsync(timeout.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_stopped)
        {
            await StopAsync(TimeSpan.Zero);
        }

        await _app.DisposeAsync();
    }

    private static X509Certificate2 NewCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }
}
