using System.Text.Json;
using System.Threading.Channels;

namespace EventVault.FaultLab.History;

/// <summary>
/// The history of a run: a file with one operation a line, as JSON. Clients hand their operations to a queue that is bounded
/// (full: the client waits), one task writes them.
/// </summary>
internal sealed class HistoryFile : IAsyncDisposable
{
    // Operations that wait to be written: some MiB, a second of the busiest run.
    private const int QueueCapacity = 4096;

    private readonly Channel<Operation> _queue = Channel.CreateBounded<Operation>(new BoundedChannelOptions(QueueCapacity) { SingleReader = true });
    private readonly Task _writing;

    public HistoryFile(string path) => _writing = Task.Run(() => WriteAsync(path));

    /// <summary>Adds an operation that ended.</summary>
    public ValueTask AddAsync(Operation operation) => _queue.Writer.WriteAsync(operation);

    /// <summary>Reads a history, in the order in which its operations ended.</summary>
    public static async Task<List<Operation>> LoadAsync(string path)
    {
        var history = new List<Operation>();
        await foreach (var line in File.ReadLinesAsync(path))
        {
            history.Add(JsonSerializer.Deserialize<Operation>(line) ?? throw new InvalidDataException($"{path}: an empty line."));
        }

        return history;
    }

    /// <summary>Writes what waits and closes the file.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _writing;
    }

    private async Task WriteAsync(string path)
    {
        await using var file = new StreamWriter(path);
        await foreach (var operation in _queue.Reader.ReadAllAsync())
        {
            await file.WriteLineAsync(JsonSerializer.Serialize(operation));
        }
    }
}
