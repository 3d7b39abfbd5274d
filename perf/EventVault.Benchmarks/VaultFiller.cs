using System.Buffers.Binary;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>Encodes events as a client's protobuf library would.</summary>
internal static class EncodedEvent
{
    /// <summary>An event with a payload of so many bytes; the id is the first 16 of them after the tag.</summary>
    public static byte[] Make(int payloadBytes, string type = "ItemRecorded", params string[] tags)
    {
        var payload = new byte[payloadBytes];
        Random.Shared.NextBytes(payload);
        List<byte> bytes = [(1 << 3) | 2, 16, .. new byte[16], (2 << 3) | 2, (byte)type.Length, .. System.Text.Encoding.UTF8.GetBytes(type)];
        foreach (var tag in tags)
        {
            bytes.AddRange([(6 << 3) | 2, (byte)tag.Length, .. System.Text.Encoding.UTF8.GetBytes(tag)]);
        }

        bytes.Add((3 << 3) | 2);
        for (var length = (uint)payloadBytes; ; length >>= 7)
        {
            bytes.Add((byte)(length >= 0x80 ? length | 0x80 : length));
            if (length < 0x80)
            {
                break;
            }
        }

        bytes.AddRange(payload);
        return [.. bytes];
    }

    public static void SetId(Span<byte> encoded, UInt128 id) => BinaryPrimitives.WriteUInt128BigEndian(encoded[2..], id);
}

/// <summary>Fills a vault as fast as the log takes it, on one thread, without network or waiting appenders.</summary>
internal sealed class VaultFiller(VaultStorage storage, int payloadBytes)
{
    private readonly GroupBuffer _group = new();
    private readonly AppendContent _append = new(storage);
    private readonly byte[] _event = EncodedEvent.Make(payloadBytes);
    private UInt128 _nextId = new((ulong)Random.Shared.NextInt64(), 0);

    /// <summary>Appends single events, spread over streams by <paramref name="streamOf"/>, until told to stop.</summary>
    public void Fill(Func<long, long> streamOf, Func<long, bool> goesOn) => Fill(goesOn, i => ($"item-{streamOf(i):D12}", _event));

    /// <summary>Appends single events until told to stop; their ids are given here.</summary>
    public void Fill(Func<long, bool> goesOn, Func<long, (string Stream, byte[] Event)> eventOf)
    {
        var bytes = new byte[64 + (2 * _event.Length)];
        for (var i = 0L; goesOn(i); i++)
        {
            _append.Reset(bytes);
            var (stream, e) = eventOf(i);
            System.Text.Encoding.UTF8.TryGetBytes(stream, bytes, out var name);
            EncodedEvent.SetId(e, ++_nextId);
            e.CopyTo(bytes.AsSpan(64));
            _append.OperationId = _nextId;
            _append.AddStream(0, name, ExpectedKind.Any, StreamVersion.None);
            _append.AddEvent(64, e.Length);
            if (_append.Check(out _, out _).Kind != EventProblemKind.None)
            {
                throw new InvalidOperationException("The benchmark's own event was refused.");
            }

            storage.Reader.LookUp(_append, out _);
            storage.Tail.Check(_append, out _);
            if (!_group.IsEmpty && !storage.Tail.Fits(_group, _append))
            {
                Write();
            }

            if (_group.IsEmpty)
            {
                while (storage.Tail.CheckRoom(_append.EncodedLength) != RoomCheck.Ok)
                {
                    storage.StepBackground();
                }

                storage.Tail.Begin(_group, _append.EncodedLength, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
            }

            storage.Tail.Add(_group, _append);
        }

        Write();
    }

    /// <summary>Deletes a stream, in a group of its own.</summary>
    public void Delete(long stream)
    {
        _append.Reset([]);
        _append.OperationId = ++_nextId;
        _append.SetChange(new StreamChange(StreamChangeKind.Delete, default), System.Text.Encoding.UTF8.GetBytes($"item-{stream:D12}"), ExpectedKind.Exists, default);
        _append.Check(out _, out _);
        storage.Reader.LookUp(_append, out _);
        if (storage.Tail.Check(_append, out _) != AppendCheck.Ok)
        {
            throw new InvalidOperationException("The benchmark's own stream can't be deleted.");
        }

        while (storage.Tail.CheckRoom(_append.EncodedLength) != RoomCheck.Ok)
        {
            storage.StepBackground();
        }

        storage.Tail.Begin(_group, _append.EncodedLength, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
        storage.Tail.Add(_group, _append);
        Write();
    }

    /// <summary>Seals all that can be sealed, and prepares the next segment.</summary>
    public void Settle()
    {
        while (storage.StepBackground())
        {
        }
    }

    private void Write()
    {
        if (_group.IsEmpty)
        {
            return;
        }

        storage.Tail.Finish(_group);
        storage.Log.Write(_group);
        storage.Log.Flush();
        storage.Commit(_group.Index);
        _group.Clear();
    }
}
