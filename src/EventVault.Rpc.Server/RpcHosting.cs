using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace EventVault.Rpc.Server;

/// <summary>Puts an <see cref="RpcServer"/> on an ASP.NET Core host.</summary>
public static class RpcHosting
{
    /// <summary>
    /// Lets the server take gRPC requests; all others go on to the rest of the pipeline, except that another content type
    /// on the path of a method is refused with 415. Add it before routing.
    /// </summary>
    /// <param name="app">The pipeline.</param>
    /// <param name="server">The server.</param>
    /// <returns>The pipeline.</returns>
    public static IApplicationBuilder UseRpc(this IApplicationBuilder app, RpcServer server)
    {
        ArgumentNullException.ThrowIfNull(app);
        ArgumentNullException.ThrowIfNull(server);
        return app.Use(next => http => RpcServer.IsRpc(http.Request) || server.Serves(http.Request.Path) ? server.InvokeAsync(http) : next(http));
    }

    /// <summary>
    /// Sets Kestrel's limits so that streams work: no minimum data rates (an idle stream would lose its connection after
    /// some seconds; pings watch the connections instead), 1,000 calls a connection, windows of 1 MiB a call and
    /// 4 MiB a connection: what a client may have sent that no handler has read yet; and lets calls know their connection.
    /// It does not open a port: do that behind it.
    /// </summary>
    /// <param name="options">Kestrel's options.</param>
    /// <param name="connections">Told of connections that are opened and closed, on all ports; null: nobody counts.</param>
    public static void ConfigureForRpc(this KestrelServerOptions options, RpcConnections? connections = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.AddServerHeader = false;
        var limits = options.Limits;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        var http2 = limits.Http2;
        http2.MaxStreamsPerConnection = 1000;
        http2.InitialStreamWindowSize = 1 << 20;
        http2.InitialConnectionWindowSize = 4 << 20;
        http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(20);
        options.ConfigureEndpointDefaults(listen => listen.Use(next => async connection =>
        {
            connection.Features.Set(new RpcConnection(connection.Features.Get<IConnectionLifetimeNotificationFeature>()));
            connections?.Add(1);
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                connections?.Add(-1);
            }
        }));
    }

    /// <summary>
    /// When the host stops: drains the server first, and lets Kestrel close its connections after it. Keep the host's own
    /// shutdown time-out longer than <paramref name="limit"/>.
    /// </summary>
    /// <param name="services">The host's services.</param>
    /// <param name="server">The server.</param>
    /// <param name="limit">How long running calls may take.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection DrainRpcOnStop(this IServiceCollection services, RpcServer server, TimeSpan limit)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(server);
        return services.AddSingleton<IHostedService>(new DrainOnStop(server, limit));
    }

    // Stopping runs before any hosted service is stopped, so before Kestrel.
    private sealed class DrainOnStop(RpcServer server, TimeSpan limit) : IHostedLifecycleService
    {
        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppingAsync(CancellationToken cancellationToken) => server.DrainAsync(limit);

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
