// Kestrel without the web host around it (docs/decisions/0017-kestrel-without-a-web-host.md): that builds a container of services at each start, and
// looks at every call for those who trace and measure by it.
using System.Net;
using EventVault.Node.Security;
using EventVault.Rpc.Server;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace EventVault.Node;

/// <summary>The two ports that every node opens, whether it has a vault or not: gRPC and HTTP. Start it, then stop it once.</summary>
internal sealed class NodeWeb : IAsyncDisposable
{
    private readonly KestrelServer _server;
    private readonly ApplicationBuilder _pipeline;
    private readonly NodeOptions _options;
    private readonly WebApplication? _tls;

    public NodeWeb(NodeOptions options)
    {
        _options = options;
        Logs = options.Logging?.Invoke() ?? NullLoggerFactory.Instance;
        var log = Logs.CreateLogger("EventVault.Node");
        var tls = Tls = options.Tls is { } files ? new ServerTls(files, log) : null;
        _tls = tls is null ? null : TlsServices();
        var services = new Services(Logs, _tls?.Services);
        var kestrel = new KestrelServerOptions { ApplicationServices = services };
        kestrel.ConfigureForRpc(Connections);
        kestrel.Listen(options.Address, options.Port, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            Secure(listen, tls);
        });
        kestrel.Listen(options.Address, options.HttpPort, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            Secure(listen, tls);
        });

        // A read of a socket is one system call, not two; a connection at rest holds the 4 KiB that the next read goes into.
        var sockets = new SocketTransportOptions { WaitForDataBeforeAllocatingBuffer = false };
        _server = new KestrelServer(Options.Create(kestrel), new SocketTransportFactory(Options.Create(sockets), Logs), Logs);
        _pipeline = new ApplicationBuilder(services);
    }

    /// <summary>Where everything logs.</summary>
    public ILoggerFactory Logs { get; }

    /// <summary>What both ports show and accept; null: clear text.</summary>
    public ServerTls? Tls { get; }

    /// <summary>Connections of both ports.</summary>
    public RpcConnections Connections { get; } = new();

    /// <summary>What answers, in the order in which it is added; nothing more once the ports are open.</summary>
    public IApplicationBuilder Pipeline => _pipeline;

    /// <summary>Puts calls on the pipeline, and before whatever is added behind them what guards pages.</summary>
    public void Serve(AccessGuard guard, RpcServer server)
    {
        _pipeline.UseRpc(server);
        _pipeline.Use(next => http => guard.FilterHttpAsync(http, next, IPAddress.IsLoopback(_options.Address)));
    }

    /// <summary>Opens the ports.</summary>
    /// <returns>Which they are.</returns>
    /// <exception cref="IOException">One can't be opened.</exception>
    public async Task<(IPEndPoint Rpc, IPEndPoint Http)> OpenAsync()
    {
        await _server.StartAsync(new Application(_pipeline.Build()), CancellationToken.None);
        var addresses = _server.Features.Get<IServerAddressesFeature>()!.Addresses.ToList();
        return (EndPoint(addresses[0]), EndPoint(addresses[1]));
    }

    /// <summary>Closes the ports, and all connections.</summary>
    /// <param name="patience">When it is cancelled, connections are cut.</param>
    public Task StopAsync(CancellationToken patience) => _server.StopAsync(patience);

    public ValueTask DisposeAsync()
    {
        _server.Dispose();
        Logs.Dispose();
        return _tls?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private static void Secure(ListenOptions listen, ServerTls? tls)
    {
        if (tls is not null)
        {
            listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = handshake => ValueTask.FromResult(tls.For(handshake.Connection.Features.GetRequiredFeature<RpcConnection>())) });
        }
    }

    // Kestrel's TLS asks for services of types that it alone knows; a web host that is never started has them.
    private static WebApplication TlsServices()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "EventVault.Node" });
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        return builder.Build();
    }

    private static IPEndPoint EndPoint(string url)
    {
        var uri = new Uri(url);
        return new IPEndPoint(IPAddress.Parse(uri.Host.Trim('[', ']')), uri.Port);
    }

    // Kestrel keeps what belongs to a connection or stream, so a call makes no context of its own.
    private sealed class Application(RequestDelegate answer) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures)
        {
            if (contextFeatures is not IHostContextContainer<HttpContext> container)
            {
                return new DefaultHttpContext(contextFeatures);
            }

            if (container.HostContext is DefaultHttpContext used)
            {
                used.Initialize(contextFeatures);
                return used;
            }

            var made = new DefaultHttpContext(contextFeatures);
            container.HostContext = made;
            return made;
        }

        public Task ProcessRequestAsync(HttpContext context) => answer(context);

        public void DisposeContext(HttpContext context, Exception? exception) => ((DefaultHttpContext)context).Uninitialize();
    }

    // What Kestrel asks its surroundings for.
    private sealed class Services(ILoggerFactory logs, IServiceProvider? others) : IServiceProvider
    {
        public object? GetService(Type serviceType) => serviceType == typeof(ILoggerFactory) ? logs : others?.GetService(serviceType);
    }
}
