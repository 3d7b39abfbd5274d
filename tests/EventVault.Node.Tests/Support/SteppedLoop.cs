using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests.Support;

/// <summary>A sequencer with its writer and its storage, on a simulated disk unless told otherwise, without threads: a test says what runs when.</summary>
internal sealed class SteppedLoop : ICompletions, IDisposable
{
    private readonly LogWriter _writer;

    public SteppedLoop(AppendLimits limits, IFileSystem? files = null, string directory = "/vault")
    {
        Storage = VaultStorage.Open(
            files ?? new SimulatedFileSystem(tracksLosses: false), directory, new StorageOptions { SegmentSizeBytes = 64 * 1024 * 1024 }, VaultLoop.Now(TimeProvider.System));
        _writer = new LogWriter(Storage.Log);
        var replica = new Replica(Storage, _writer, new NoPeers(), new CommitSignal(), this, TimeProvider.System, new RaftOptions
        {
            Id = LogEntries.IdOf(Storage),
            Random = new Random(1),
        });
        Loop = new VaultLoop(Storage, replica, this, TimeProvider.System, limits);
        replica.Campaign();
        RunUntilIdle();
        Invariant.Check(Loop.Leads);
    }

    public VaultStorage Storage { get; }

    public VaultLoop Loop { get; }

    /// <summary>Appends that were completed, in that order.</summary>
    public List<HandAppend> Completed { get; } = [];

    /// <summary>An append of one event to a stream of its own, not queued yet.</summary>
    public HandAppend New(AppendClient? client, int bytes, string stream = "s")
    {
        var append = new HandAppend(Storage, Completed) { Client = client };
        byte[] encoded = [.. System.Text.Encoding.UTF8.GetBytes(stream), .. Google.Protobuf.MessageExtensions.ToByteArray(Make.Event(data: new string('x', bytes)))];
        append.Content.Reset(encoded);
        append.Content.OperationId = new UInt128((ulong)Random.Shared.NextInt64(), (ulong)Random.Shared.NextInt64());
        append.Content.AddStream(0, stream.Length, ExpectedKind.Any, default);
        append.Content.AddEvent(stream.Length, encoded.Length - stream.Length);
        Assert.Equal(EventProblemKind.None, append.Content.Check(out _, out _).Kind);
        append.QueuedBytes = encoded.Length;
        return append;
    }

    public AppendOutcome Enqueue(QueuedAppend append) => Loop.Enqueue(append, append, 1, append.QueuedBytes);

    /// <summary>What is written becomes durable.</summary>
    public void Flush() => _writer.Step();

    public void RunUntilIdle()
    {
        while (Loop.Step() | _writer.Step() | Storage.StepBackground())
        {
        }
    }

    void ICompletions.Queue(IThreadPoolWorkItem item) => item.Execute();

    public void Dispose() => Storage.Dispose();
}

/// <summary>An append whose test looks at it by hand.</summary>
internal sealed class HandAppend(VaultStorage storage, List<HandAppend> completed) : QueuedAppend(new AppendContent(storage))
{
    /// <summary>Whether it has its place in the log, committed or not.</summary>
    public bool IsSequenced => Outcome == AppendOutcome.Appended;

    public override void Complete() => completed.Add(this);
}
