using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>What the node says about itself: over gRPC (grpc.health.v1), over HTTP, and in GetStatus. Thread-safe.</summary>
internal sealed class NodeHealth(VaultStorage storage)
{
    private const string Serving = "serving";

    private readonly HealthService _service = new();
    private volatile string _state = "starting";

    /// <summary><c>starting</c>, <c>serving</c>, <c>full</c>, <c>draining</c> or <c>failed</c>.</summary>
    public string State => _state == Serving && storage.DiskIsFull ? "full" : _state;

    /// <summary>Reads are served with a full disk too, so it is no reason to send clients elsewhere.</summary>
    private bool IsReady => _state == Serving;

    public void AddTo(RpcServer server)
    {
        _service.AddTo(server);
        SetStatus(HealthStatus.NotServing);
    }

    /// <summary>Both ports are open and the log is recovered.</summary>
    public void BeginServing()
    {
        _state = Serving;
        SetStatus(HealthStatus.Serving);
    }

    /// <summary>The node stops; the gRPC side hears it from the server's drain.</summary>
    public void BeginDraining(bool failed)
    {
        if (_state != "failed")
        {
            _state = failed ? "failed" : "draining";
        }

        SetStatus(HealthStatus.NotServing);
    }

    /// <summary>Answers <c>/health/live</c> and <c>/health/ready</c>.</summary>
    public void Map(IApplicationBuilder app) => app.Run(http =>
    {
        var path = http.Request.Path.Value;
        if (path is not ("/health/live" or "/health/ready"))
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }

        if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            http.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            http.Response.Headers.Allow = "GET, HEAD";
            return Task.CompletedTask;
        }

        var isWell = path == "/health/live" ? _state != "failed" : IsReady;
        http.Response.StatusCode = isWell ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        http.Response.ContentType = "application/json";
        return http.Response.WriteAsync($$"""{"status":"{{State}}"}""");
    });

    private void SetStatus(HealthStatus status)
    {
        _service.SetStatus(string.Empty, status);
        _service.SetStatus("eventvault.v1.Streams", status);
        _service.SetStatus("eventvault.v1.Temporal", status);
        _service.SetStatus("eventvault.v1.Admin", status);
    }
}
