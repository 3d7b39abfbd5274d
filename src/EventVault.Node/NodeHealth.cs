using System.Text.Json;
using EventVault.Node.Security;
using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>What the node says about itself: over gRPC (grpc.health.v1), over HTTP, and in GetStatus. Thread-safe.</summary>
/// <param name="storage">Says whether its disk is full.</param>
/// <param name="outOfTouch">Why the node is not as good as any other one: it neither leads nor follows a leader, or is far behind. Null: it is.</param>
/// <param name="standsStill">What of the node stands still; null: nothing does.</param>
internal sealed class NodeHealth(VaultStorage storage, Func<string?> outOfTouch, Func<string?> standsStill)
{
    /// <summary>The state of a node with which nothing is wrong.</summary>
    public const string Serving = "serving";

    /// <summary>Path that says whether the process is worth keeping.</summary>
    public const string Live = "/health/live";

    /// <summary>Path that says whether the node does all that it is for.</summary>
    private const string Ready = "/health/ready";

    /// <summary>Path that says whether the node may be read from.</summary>
    private const string Reads = "/health/reads";

    private readonly HealthService _service = new();
    private volatile string _state = "starting";
    private volatile bool _wasReady;
    private long _outOfTouchSince; // Of Environment.TickCount64; 0: it is in touch.

    /// <summary><c>starting</c>, <c>serving</c>, <c>full</c>, <c>draining</c> or <c>failed</c>.</summary>
    public string State => _state == Serving && storage.DiskIsFull ? "full" : _state;

    /// <summary>Whether it does all that a node of its role is for.</summary>
    public bool IsReady => NotReady is null;

    /// <summary>Why it is not ready, for people; null: it is. Found out when it is asked for, not remembered.</summary>
    public string? NotReady => NotReadable
        ?? (storage.DiskIsFull ? "the disk is full: appends are refused, or will be when the segment is; reads are served" : null);

    /// <summary>Why it should not be read from; null: it may. A full disk is no reason.</summary>
    public string? NotReadable => _state != Serving ? $"the node is {_state}" : standsStill() ?? outOfTouch();

    /// <summary>For how long it has not been as good as any other node, as of the last look; zero: it is.</summary>
    public TimeSpan OutOfTouchFor => Volatile.Read(ref _outOfTouchSince) is not 0 and var since ? TimeSpan.FromMilliseconds(Environment.TickCount64 - since) : TimeSpan.Zero;

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
        if (outOfTouch() is null)
        {
            Volatile.Write(ref _outOfTouchSince, 0);
        }
        else if (_outOfTouchSince == 0)
        {
            Volatile.Write(ref _outOfTouchSince, Environment.TickCount64);
        }

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

    /// <summary>Answers <c>/health/live</c>, <c>/health/ready</c> and <c>/health/reads</c>.</summary>
    public void Map(IApplicationBuilder app, AccessGuard guard) => Map(app, guard, () => State, path => path switch
    {
        Live => _state == "failed" ? "the node has failed" : null,
        Ready => NotReady,
        _ => NotReadable,
    });

    /// <summary>The same for a node in any state.</summary>
    /// <param name="app">Where it is served.</param>
    /// <param name="guard">Knows who may hear more than the state: reasons tell of files, damage and other nodes.</param>
    /// <param name="state">The node's state.</param>
    /// <param name="whyNot">Says of a path why the node is not what it asks for; null: it is.</param>
    public static void Map(IApplicationBuilder app, AccessGuard guard, Func<string> state, Func<string, string?> whyNot) => app.Run(async http =>
    {
        var path = http.Request.Path.Value;
        if (path is not (Live or Ready or Reads))
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return;
        }

        if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            http.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            http.Response.Headers.Allow = "GET, HEAD";
            return;
        }

        var reason = whyNot(path);
        var told = reason is not null && await guard.IsKnownAsync(http) ? $",\"reason\":\"{JsonEncodedText.Encode(reason)}\"" : string.Empty;
        http.Response.StatusCode = reason is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync($$"""{"status":"{{state()}}"{{told}}}""");
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
