namespace EventVault.Rpc.Server.Health;

/// <summary>
/// The standard health service, <c>grpc.health.v1</c>. Requests are of 1 KiB at the most. The empty name stands for the whole server. When the server
/// drains, all names become NOT_SERVING and watches end. Thread-safe.
/// </summary>
public sealed class HealthService
{
    /// <summary>Of a request: it is a name, and anybody may ask.</summary>
    private const int MostRequestBytes = 1024;

    private static readonly RpcService Service = new("grpc.health.v1.Health", static () => HealthReflection.Descriptor.Services[0]);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, HealthStatus> _statuses = new(StringComparer.Ordinal);
    private TaskCompletionSource _changed = NewSignal();
    private bool _draining;

    /// <summary>Sets what probes of a service are told; watches see the change.</summary>
    /// <param name="service">The full service name; empty for the whole server.</param>
    /// <param name="status">The status; kept as NOT_SERVING once the server drains.</param>
    public void SetStatus(string service, HealthStatus status)
    {
        ArgumentNullException.ThrowIfNull(service);
        lock (_lock)
        {
            _statuses[service] = _draining ? HealthStatus.NotServing : status;
            Signal();
        }
    }

    /// <summary>Adds the service to a server.</summary>
    /// <param name="server">The server.</param>
    /// <exception cref="ArgumentException">The server has a health service already.</exception>
    public void AddTo(RpcServer server)
    {
        ArgumentNullException.ThrowIfNull(server);
        server
            .Unary(RpcMethod<HealthCheckRequest, HealthCheckResponse>.Of(Service, "Check"), Check)
            .ServerStreaming(RpcMethod<HealthCheckRequest, HealthCheckResponse>.Of(Service, "Watch"), WatchAsync);
        server.ServeWhileDraining(Service);
        server.LimitRequests(MostRequestBytes, static path => path.StartsWith($"/{Service.FullName}/", StringComparison.Ordinal));
        server.Draining.UnsafeRegister(static state => ((HealthService)state!).Drain(), this);
    }

    private ValueTask<HealthCheckResponse> Check(HealthCheckRequest request, RpcContext context)
    {
        lock (_lock)
        {
            return _statuses.TryGetValue(request.Service, out var status)
                ? ValueTask.FromResult(Answer(status))
                : throw new RpcException(RpcCode.NotFound, $"The health of the service {request.Service} is not known here.");
        }
    }

    private async ValueTask WatchAsync(HealthCheckRequest request, RpcWriter<HealthCheckResponse> writer, RpcContext context)
    {
        HealthCheckResponse? last = null;
        while (true)
        {
            HealthCheckResponse now;
            Task changed;
            lock (_lock)
            {
                changed = _changed.Task;
                now = _statuses.TryGetValue(request.Service, out var status)
                    ? Answer(status)
                    : new HealthCheckResponse { Status = HealthCheckResponse.Types.ServingStatus.ServiceUnknown };
            }

            if (!now.Equals(last))
            {
                await writer.WriteAsync(now).ConfigureAwait(false);
                last = now;
            }
            else if (context.Draining.IsCancellationRequested)
            {
                // An endless watch would hold up the drain; its client looks elsewhere and comes back.
                throw new RpcException(RpcCode.Unavailable, "The server is stopping.");
            }
            else
            {
                await changed.WaitAsync(context.Cancellation).ConfigureAwait(false);
            }
        }
    }

    private void Drain()
    {
        lock (_lock)
        {
            _draining = true;
            foreach (var service in _statuses.Keys)
            {
                _statuses[service] = HealthStatus.NotServing;
            }

            Signal();
        }
    }

    private void Signal()
    {
        _changed.TrySetResult();
        _changed = NewSignal();
    }

    private static HealthCheckResponse Answer(HealthStatus status) => new() { Status = (HealthCheckResponse.Types.ServingStatus)status };

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
