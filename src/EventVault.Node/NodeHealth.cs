using System.Text.Json;
using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>What the node says about itself: over gRPC (grpc.health.v1), over HTTP, and in GetStatus. Thread-safe.</summary>
/// <param name="storage">Says whether its disk is full.</param>
/// <param name="isInTouch">Whether the node is as good as any other one: it leads, or follows a leader and is not far behind.</param>
internal sealed class NodeHealth(VaultStorage storage, Func<bool> isInTouch)
{
    /// <summary>The state of a node with which nothing is wrong.</summary>
    public const string Serving = "serving";

    private readonly HealthService _service = new();
    private volatile string _state = "starting";
    private bool _wasReady;

    /// <summary><c>starting</c>, <c>serving</c>, <c>full</c>, <c>draining</c> or <c>failed</c>.</summary>
    public string State => _state == Serving && storage.DiskIsFull ? "full" : _state;

    /// <summary>Reads are served with a full disk too, so it is no reason to send clients elsewhere.</summary>
    public bool IsReady => _state == Serving && isInTouch();

    public void AddTo(RpcServer server)
    {
        _service.AddTo(server);
        SetStatus(HealthStatus.NotServing);
    }

    /// <summary>Both ports are open and the log is recovered.</summary>
    public void BeginServing()
    {
        _state = Serving;
        Look();
    }

    /// <summary>Tells those who watch whether the node is ready, if that has changed. Call it now and then, from one thread at a time.</summary>
    public void Look()
    {
        var isReady = IsReady;
        if (isReady != _wasReady && _state == Serving)
        {
            _wasReady = isReady;
            SetStatus(isReady ? HealthStatus.Serving : HealthStatus.NotServing);
        }
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
    public void Map(IApplicationBuilder app) => Map(app, () => State, () => _state != "failed", () => IsReady);

    /// <summary>The same for a node in any state, with a reason for it if there is one to tell.</summary>
    public static void Map(IApplicationBuilder app, Func<string> state, Func<bool> isLive, Func<bool> isReady, Func<string>? reason = null) => app.Run(http =>
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

        var isWell = path == "/health/live" ? isLive() : isReady();
        http.Response.StatusCode = isWell ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        http.Response.ContentType = "application/json";
        var why = reason is null ? string.Empty : $",\"reason\":\"{JsonEncodedText.Encode(reason())}\"";
        return http.Response.WriteAsync($$"""{"status":"{{state()}}"{{why}}}""");
    });

    /// <summary>Sets what probes of the node, and of each of its services, are told.</summary>
    public static void SetStatus(HealthService service, HealthStatus status)
    {
        service.SetStatus(string.Empty, status);
        service.SetStatus("eventvault.v1.Streams", status);
        service.SetStatus("eventvault.v1.Temporal", status);
        service.SetStatus("eventvault.v1.Admin", status);
        service.SetStatus("eventvault.v1.Cluster", status);
        service.SetStatus("eventvault.v1.Access", status);
    }

    private void SetStatus(HealthStatus status) => SetStatus(_service, status);
}
