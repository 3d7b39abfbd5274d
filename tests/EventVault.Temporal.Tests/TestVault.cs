using System.Buffers.Binary;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Temporal.Tests;

/// <summary>A real vault in a folder of its own, filled by one thread; its segments are small, so that many get sealed.</summary>
internal sealed class TestVault : IDisposable
{
    private readonly GroupBuffer _group = new();
    private AppendContent _append = null!;
    private long _clock = SomeEvent.Time;
    private UInt128 _lastId = 1;

    public TestVault()
    {
        Folder = Directory.CreateTempSubdirectory("eventvault-temporal-").FullName;
        Open();
    }

    public NativeFileSystem Files { get; } = new();

    public string Folder { get; }

    public string StateFolder => Path.Combine(Folder, "state");

    public VaultStorage Storage { get; private set; } = null!;

    public EventReader Reader => Storage.Reader;

    /// <summary>When the last append was recorded.</summary>
    public long Now => _clock;

    public StreamReference Stream(string name) => Reader.Reference(Encoding.UTF8.GetBytes(name));

    /// <summary>Appends events to a stream, together.</summary>
    public void Append(string stream, params IEnumerable<string> data) => Append(stream, data.Select(d => (d, (long?)null)));

    /// <summary>Appends events to a stream, together, with the times when they occurred.</summary>
    public void Append(string stream, IEnumerable<(string Data, long? OccurredAt)> data)
    {
        var name = Encoding.UTF8.GetBytes(stream);
        var events = data.Select(e => Encode(e.Data, e.OccurredAt)).ToList();
        byte[] bytes = [.. name, .. events.SelectMany(e => e)];
        _append.Reset(bytes);
        _append.OperationId = ++_lastId;
        _append.AddStream(0, name.Length, ExpectedKind.Any, StreamVersion.None);
        var at = name.Length;
        foreach (var e in events)
        {
            _append.AddEvent(at, e.Length);
            at += e.Length;
        }

        Add();
    }

    public void Change(StreamChangeKind kind, string stream, long before = 0, params IReadOnlyList<AnchorEvent> anchors)
    {
        _append.Reset([]);
        _append.OperationId = ++_lastId;
        var rest = new TruncationAnchors(StreamVersion.None, Reader.FirstVisible(Stream(stream)), anchors);
        _append.SetChange(
            new StreamChange(kind, new StreamVersion(before)) { Anchors = anchors.Count > 0 ? rest : null }, Encoding.UTF8.GetBytes(stream), ExpectedKind.Any, default);
        Add();
    }

    /// <summary>Starts a scavenge, and does it as far as what is sealed allows.</summary>
    public void Scavenge(bool isDone)
    {
        _append.Reset([]);
        _append.OperationId = ++_lastId;
        _append.SetScavenge(ScavengeChange.Start);
        Add();
        while (isDone && Storage.Scavenger.Step(Storage.CommitIndex))
        {
        }
    }

    /// <summary>A stop and a start, with what can be rebuilt gone.</summary>
    public void Restart(bool loseIndex)
    {
        Storage.Dispose();
        if (loseIndex)
        {
            Directory.Delete(Path.Combine(Folder, "vault", "index"), recursive: true);
        }

        Open();
    }

    public void Dispose()
    {
        Storage.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private void Open()
    {
        Storage = VaultStorage.Open(
            Files, Path.Combine(Folder, "vault"), new StorageOptions { SegmentSizeBytes = 4 * StorageOptions.MinSegmentSizeBytes, OperationHorizon = 8192 }, SomeEvent.Time);
        Storage.Commit(Storage.Tail.LastIndex);
        _append = new AppendContent(Storage);
    }

    private void Add()
    {
        Assert.Equal(EventProblemKind.None, _append.Check(out _, out _).Kind);
        Storage.Reader.LookUp(_append, out _);
        Assert.Equal(AppendCheck.Ok, Storage.Tail.Check(_append, out _));
        while (Storage.Tail.CheckRoom(_append.EncodedLength) != RoomCheck.Ok)
        {
            Assert.True(Storage.StepBackground());
        }

        Storage.Tail.Begin(_group, _append.EncodedLength, _clock += 10);
        Storage.Tail.Add(_group, _append);
        Storage.Tail.Finish(_group);
        Storage.Log.Write(_group);
        Storage.Log.Flush();
        Storage.Commit(_group.Index);
        _group.Clear();
    }

    private byte[] Encode(string data, long? occurredAt)
    {
        var json = Encoding.UTF8.GetBytes(data);
        var id = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(id, ++_lastId);
        List<byte> bytes = [(1 << 3) | 2, 16, .. id, (2 << 3) | 2, 1, (byte)'T', (3 << 3) | 2];
        for (var length = (uint)json.Length; ; length >>= 7)
        {
            bytes.Add((byte)(length >= 0x80 ? length | 0x80 : length));
            if (length < 0x80)
            {
                break;
            }
        }

        bytes.AddRange(json);
        if (occurredAt is { } at)
        {
            var fixed64 = new byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(fixed64, at);
            bytes.AddRange([(8 << 3) | 1, .. fixed64]);
        }

        return [.. bytes];
    }
}
