using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests.Support;

/// <summary>Holds up the flushes of the log, so that appends stay in the queue as long as a test needs it.</summary>
internal sealed class DiskGate : IDisposable
{
    private readonly ManualResetEventSlim _open = new(initialState: true);
    private int _waiting;

    public DiskGate(SimulatedFileSystem disk) => disk.OnOperation = operation =>
    {
        if (operation.Kind == DiskOperationKind.Flush && Thread.CurrentThread.Name == "vault" && !_open.IsSet)
        {
            Interlocked.Increment(ref _waiting);
            _open.Wait(Wait.Limit);
            Interlocked.Decrement(ref _waiting);
        }
    };

    /// <summary>Closes once the log rests with its commit mark: the next flush is that of the next append.</summary>
    public Task CloseAsync(TestNode node) => CloseAsync(node.Node);

    /// <inheritdoc cref="CloseAsync(TestNode)"/>
    public async Task CloseAsync(Node node)
    {
        await Wait.UntilAsync(() => !node.Storage.Log.WantsMark, "the commit mark");
        _open.Reset();
    }

    /// <summary>Closes at once: the next flush is whoever's comes next.</summary>
    public void Close() => _open.Reset();

    public void Open() => _open.Set();

    /// <summary>Ends when a flush waits: whatever comes now stays in the queue.</summary>
    public Task UntilSomeoneWaitsAsync() => Wait.UntilAsync(() => Volatile.Read(ref _waiting) > 0, "a flush at the gate");

    public void Dispose() => _open.Set();
}
