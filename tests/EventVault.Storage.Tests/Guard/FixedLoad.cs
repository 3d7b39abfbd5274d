using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Guard;

/// <summary>
/// A vault that is written to as the node does it, on one thread: the same appends, groups and secrets in every run, so that
/// what it costs can be counted. Allocates nothing itself.
/// </summary>
internal sealed class FixedLoad : IDisposable
{
    private const int PayloadBytes = 256;
    private const int Streams = 1000;
    private const int EventStart = 32; // Behind the stream's name.
    private const int IdStart = EventStart + 2; // The event's first field.
    private readonly GroupBuffer _group = new();
    private readonly AppendContent _append;
    private readonly byte[] _bytes;
    private ulong _made;
    private long _clock = 1_000_000;

    public FixedLoad(IFileSystem files, string directory, uint segmentSizeBytes)
    {
        Storage = VaultStorage.Open(files, directory, new StorageOptions { SegmentSizeBytes = segmentSizeBytes, Random = new Random(1) }, _clock).CommitAll();
        var payload = new byte[PayloadBytes];
        new Random(2).NextBytes(payload);
        _bytes = [.. new byte[EventStart], .. Encoded.Event(0, "ItemRecorded", payload, tags: ["region:7"])];
        _append = new AppendContent(Storage);
        Settle();
    }

    public VaultStorage Storage { get; }

    /// <summary>Groups written so far.</summary>
    public int Groups { get; private set; }

    /// <summary>Their bytes, without what fills up the last block of each.</summary>
    public long EncodedBytes { get; private set; }

    /// <summary>
    /// Writes groups of single-event appends, each flushed and committed before the next; one more where a segment has no room
    /// for a whole one.
    /// </summary>
    public void Write(int groups, int appendsEach)
    {
        for (var i = 0; i < groups; i++)
        {
            for (var k = 0; k < appendsEach; k++)
            {
                Add();
            }

            WriteGroup();
        }
    }

    /// <summary>Seals what can be sealed, and prepares the next segment.</summary>
    public void Settle()
    {
        while (Storage.StepBackground())
        {
        }
    }

    public void Dispose() => Storage.Dispose();

    private void WriteGroup()
    {
        Storage.Tail.Finish(_group);
        EncodedBytes += _group.Length;
        Storage.Log.Write(_group);
        Storage.Log.Flush();
        Storage.Commit(_group.Index);
        _group.Clear();
        Groups++;
    }

    private void Add()
    {
        _append.Reset(_bytes);
        Assert.True(((int)(_made % Streams)).TryFormat(_bytes.AsSpan("item-"u8.Length), out var digits, "D7"));
        "item-"u8.CopyTo(_bytes);
        _append.OperationId = new UInt128(++_made * 0x9E3779B97F4A7C15, _made);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(_bytes.AsSpan(IdStart), _append.OperationId);
        _append.AddStream(0, "item-"u8.Length + digits, ExpectedKind.Any, StreamVersion.None);
        _append.AddEvent(EventStart, _bytes.Length - EventStart);
        if (_append.Check(out _, out _).Kind != EventProblemKind.None || Storage.Reader.LookUp(_append, out _) || Storage.Tail.Check(_append, out _) != AppendCheck.Ok)
        {
            throw new InvalidOperationException("An append of the load was refused.");
        }

        if (!_group.IsEmpty && !Storage.Tail.Fits(_group, _append))
        {
            WriteGroup();
        }

        if (_group.IsEmpty)
        {
            while (Storage.Tail.CheckRoom(_append.EncodedLength) != RoomCheck.Ok)
            {
                Storage.StepBackground();
            }

            Storage.Tail.Begin(_group, _append.EncodedLength, _clock += 10_000);
        }

        Storage.Tail.Add(_group, _append);
    }
}
