using System.Threading.Tasks.Sources;
using EventVault.Node;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>
/// A vault with its two threads and nothing before them. Compiled twice: into the benchmarks, with the node's own core, and
/// into EventVault.CommitAtOnce, with one that commits at once.
/// </summary>
public sealed class AppendPath : IAsyncDisposable
{
    private readonly VaultStorage _storage;
    private readonly VaultLoop _loop;
    private readonly VaultThread _thread;
    private readonly BackgroundThread _background;

    private AppendPath(string directory)
    {
        _storage = VaultStorage.Open(new NativeFileSystem(), directory, new StorageOptions(), VaultLoop.Now(TimeProvider.System));
        var writer = new LogWriter(_storage.Log);
        var completions = new PooledCompletions();
        var replica = new Replica(_storage, writer, new NoPeers(), new CommitSignal(), completions, TimeProvider.System, new RaftOptions
        {
            Id = LogEntries.IdOf(_storage),
            Random = new Random(1),
        });
        _loop = new VaultLoop(_storage, replica, completions, TimeProvider.System, new AppendLimits());
        _background = new BackgroundThread(_storage, () => _thread!.Wake(), () => _loop.WaitsForRoom, Fail);
        _thread = new VaultThread(_loop, replica, writer, completions, _background, VaultThread.Tick, Fail);
    }

    /// <summary>Opens a new vault in an empty folder.</summary>
    public static async Task<AppendPath> OpenAsync(string directory)
    {
        var path = new AppendPath(directory);
        path._background.Start();
        path._thread.Start();
        await path._thread.Leading;
        return path;
    }

    /// <summary>An appender: each call appends one event with the given id, and ends when it is durable.</summary>
    /// <param name="stream">Name of its stream, UTF-8.</param>
    /// <param name="e">The encoded event.</param>
    /// <param name="setId">Writes an id into the encoded event.</param>
    public Func<UInt128, ValueTask<bool>> Appender(byte[] stream, byte[] e, Action<Memory<byte>, UInt128> setId)
    {
        var append = new WaitingAppend(_storage);
        byte[] bytes = [.. stream, .. e];
        return id =>
        {
            setId(bytes.AsMemory(stream.Length), id);
            append.Reset();
            append.Content.Reset(bytes);
            append.Content.OperationId = id;
            append.Content.AddStream(0, stream.Length, ExpectedKind.Any, StreamVersion.None);
            append.Content.AddEvent(stream.Length, e.Length);
            append.QueuedBytes = bytes.Length;
            Expect(append.Content.Check(out _, out _).Kind == EventProblemKind.None);
            Expect(!_storage.Reader.LookUp(append.Content, out _));
            Expect(_loop.Enqueue(append, append, 1, append.QueuedBytes) == AppendOutcome.None);
            return append.WaitAsync();
        };
    }

    /// <summary>Stops cleanly.</summary>
    public async ValueTask DisposeAsync()
    {
        _loop.BeginDrain();
        await _thread.StopAsync(TimeSpan.FromSeconds(10));
        await _background.StopAsync();
        _thread.Dispose();
        _background.Dispose();
        _storage.Dispose();
    }

    private static void Fail(Exception error, string thread) => Environment.FailFast($"The thread {thread} of a benchmark failed.", error);

    private static void Expect(bool holds)
    {
        if (!holds)
        {
            throw new InvalidOperationException("The benchmark's append was not taken.");
        }
    }

    private sealed class WaitingAppend(VaultStorage storage) : QueuedAppend(new AppendContent(storage)), IValueTaskSource<bool>
    {
        private ManualResetValueTaskSourceCore<bool> _source;

        public void Reset()
        {
            _source.Reset();
            Outcome = AppendOutcome.None;
        }

        public ValueTask<bool> WaitAsync() => new(this, _source.Version);

        public override void Complete() => _source.SetResult(Outcome == AppendOutcome.Appended);

        bool IValueTaskSource<bool>.GetResult(short token) => _source.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _source.GetStatus(token);

        void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _source.OnCompleted(continuation, state, token, flags);
    }
}
