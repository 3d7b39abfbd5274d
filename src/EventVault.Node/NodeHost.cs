// Keeps a node running in this process. A node changes its shape (it was invited, or has files to install) in one way only: it is stopped in order
// and opened anew, on the same ports, and what is to change changes while its storage is closed.
using System.Net;
using EventVault.Storage;

namespace EventVault.Node;

/// <summary>What a host runs: a node, with a vault or without.</summary>
internal interface IHosted
{
    /// <summary>Where gRPC is served.</summary>
    IPEndPoint RpcEndPoint { get; }

    /// <summary>Where HTTP is served.</summary>
    IPEndPoint HttpEndPoint { get; }

    /// <summary>The peer port; 0: there is none.</summary>
    int PeerPort { get; }

    /// <summary>Ends with what broke, if the node must stop because of it. Then stop it.</summary>
    Task<Exception> Failed { get; }

    /// <summary>Ends with a reason when the node is to be stopped and opened anew.</summary>
    Task<string> Reopen { get; }

    /// <summary>Stops in order.</summary>
    Task StopAsync();
}

/// <summary>Runs one node, and opens it anew when it asks for that. Start it, then stop it once.</summary>
internal sealed class NodeHost : IAsyncDisposable
{
    /// <summary>How long a start may take to end that is not wanted any more: a step of an opening takes less, unless its disk hangs.</summary>
    public static readonly TimeSpan EndsWithin = TimeSpan.FromSeconds(5);

    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stopping = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _ending = new();
    private NodeOptions _options;
    private volatile IHosted _hosted;
    private Task _running = Task.CompletedTask;
    private long _openings = 1;

    private NodeHost(NodeOptions options, IHosted hosted)
    {
        // Ports that were free when the node started stay its ports.
        _options = options with { Port = hosted.RpcEndPoint.Port, HttpPort = hosted.HttpEndPoint.Port, PeerPort = options.PeerPort is null ? null : hosted.PeerPort };
        _hosted = hosted;
    }

    /// <summary>Where gRPC is served.</summary>
    public IPEndPoint RpcEndPoint => _hosted.RpcEndPoint;

    /// <summary>Where HTTP is served.</summary>
    public IPEndPoint HttpEndPoint => _hosted.HttpEndPoint;

    /// <summary>The peer port; 0: there is none.</summary>
    public int PeerPort => _hosted.PeerPort;

    /// <summary>The node; null: it belongs to no vault yet. Another one after each opening.</summary>
    public Node? Node => _hosted as Node;

    /// <summary>How often it was opened.</summary>
    public long Openings => Volatile.Read(ref _openings);

    /// <summary>Ends with what broke, if the node must stop because of it, or can't be opened anew. Then stop the host.</summary>
    public Task<Exception> Failed => _failed.Task;

    /// <summary>Starts the node that the data directory says.</summary>
    /// <param name="options">The options.</param>
    /// <param name="cancellation">Ends the opening, if that is still under way; the next one goes on.</param>
    /// <exception cref="Storage.Io.DirectoryInUseException">Another node has the data directory.</exception>
    /// <exception cref="DamageException">The log is damaged. Nothing was changed.</exception>
    /// <exception cref="Storage.Io.DiskException">The disk failed.</exception>
    /// <exception cref="IOException">A port can't be opened.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before the node served.</exception>
    public static async Task<NodeHost> StartAsync(NodeOptions options, CancellationToken cancellation = default)
    {
        var host = new NodeHost(options, await OpenAsync(options, cancellation));
        host._running = host.RunAsync();
        return host;
    }

    /// <summary>Stops in order; ends an opening that is under way.</summary>
    public async Task StopAsync()
    {
        _stopping.TrySetResult();
        await _ending.CancelAsync();
        await _running;
    }

    /// <summary>As <see cref="StopAsync"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _ending.Dispose();
    }

    private static async Task<IHosted> OpenAsync(NodeOptions options, CancellationToken cancellation)
    {
        var isEmpty = options.Join && await Task.Run(() => VaultStorage.NodeIdOf(options.Files, options.Directory)) is null;
        return isEmpty ? await UnjoinedNode.StartAsync(options) : await Node.StartAsync(options, cancellation);
    }

    private async Task RunAsync()
    {
        while (true)
        {
            var hosted = _hosted;
            await Task.WhenAny(_stopping.Task, hosted.Failed, hosted.Reopen);
            try
            {
                await hosted.StopAsync();
            }
            catch (Exception e) when (!_stopping.Task.IsCompleted)
            {
                // The boundary of the node that was: whoever runs the host must hear of it, or a process would be left that serves nothing.
                _failed.TrySetResult(hosted.Failed.IsCompleted ? await hosted.Failed : e);
                await _stopping.Task;
                return;
            }

            if (hosted.Failed.IsCompleted)
            {
                _failed.TrySetResult(await hosted.Failed);
                await _stopping.Task;
                return;
            }

            if (_stopping.Task.IsCompleted)
            {
                return;
            }

            if (hosted is UnjoinedNode { PeerAdvertise: { } advertised })
            {
                _options = _options with { PeerAdvertise = advertised };
            }

            try
            {
                _hosted = await OpenAsync(_options, _ending.Token);
                Interlocked.Increment(ref _openings);
            }
            catch (OperationCanceledException) when (_stopping.Task.IsCompleted)
            {
                return; // Nothing is open.
            }
            catch (Exception e)
            {
                // The boundary of the opening, as the program's start is: whoever runs the host says what each means.
                _failed.TrySetResult(e);
                await _stopping.Task;
                return;
            }
        }
    }
}
