// Anchors: states that stand in for events which are truncated. Truth, not a cache: an anchor is an event of the vault, replicated as
// all are, written in the same append as the truncation.
//
// Stream `$state-`, first 32 hex digits of the reducer's hash, `-`, first 32 hex digits of SHA-256 over the stream's name.
// Event type `$anchor`, content type application/octet-stream, schema version 1, id: first half of SHA-256 over the data. Data:
//
//       0    8       magic "EVANCHOR"
//       8    4 u32   version, 1
//      12    4 u32   bytes of the stream's name, n
//      16   32       hash of the reducer, which names definition and engine
//      48   32       state hash: SHA-256 over the state's canonical JSON
//      80    8 i64   first version of the life
//      88    8 i64   last version folded
//      96    8 i64   position of that event
//     104    8 i64   when it was recorded, 100 ns ticks since 1970
//     112    8 i64   when it happened, likewise
//     120    4 u32   bytes of the saved state, m
//     124    4       zero
//     128    n       the stream's name, UTF-8
//   128+n    m       saved state (Reducer.Restore)
// 128+n+m   16       first half of SHA-256 over all before
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>The state after a version of a stream, in the log. Immutable.</summary>
/// <param name="ReducerHash">Of its reducer.</param>
/// <param name="Stream">Name of the stream, UTF-8.</param>
/// <param name="First">First version of the life.</param>
/// <param name="Event">The last event folded: a scavenge removes it, and answers tell of it.</param>
/// <param name="StateHash">SHA-256 over the state's canonical JSON.</param>
/// <param name="Saved">The state.</param>
internal sealed record Anchor(byte[] ReducerHash, byte[] Stream, StreamVersion First, FoldedEvent Event, byte[] StateHash, byte[] Saved)
{
    private const uint FormatVersion = 1;
    private const uint Schema = 1;
    private const int HeaderBytes = 128;
    private const int CheckBytes = 16;

    /// <summary>Of the parts of its stream's name, 128 bits each.</summary>
    private const int NamePartBytes = 16;

    /// <summary>Last version folded.</summary>
    public StreamVersion Version => Event.Version;

    private static ReadOnlySpan<byte> Magic => "EVANCHOR"u8;

    private static ReadOnlySpan<byte> Type => "$anchor"u8;

    private static ReadOnlySpan<byte> ContentType => "application/octet-stream"u8;

    /// <summary>Name of the stream that has a reducer's anchors of a stream.</summary>
    public static byte[] StreamName(byte[] reducerHash, ReadOnlySpan<byte> stream) => Encoding.ASCII.GetBytes(
        $"$state-{Convert.ToHexStringLower(reducerHash.AsSpan(0, NamePartBytes))}-{Convert.ToHexStringLower(SHA256.HashData(stream).AsSpan(0, NamePartBytes))}");

    /// <summary>The anchor's event.</summary>
    public AnchorEvent ToEvent()
    {
        var data = new byte[HeaderBytes + Stream.Length + Saved.Length + CheckBytes];
        Magic.CopyTo(data);
        BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(8), FormatVersion);
        BinaryPrimitives.WriteInt32LittleEndian(data.AsSpan(12), Stream.Length);
        ReducerHash.CopyTo(data, 16);
        StateHash.CopyTo(data, 48);
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(80), First.Value);
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(88), Event.Version.Value);
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(96), Event.Position.Value);
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(104), Event.RecordedAt);
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(112), Event.OccurredAt);
        BinaryPrimitives.WriteInt32LittleEndian(data.AsSpan(120), Saved.Length);
        Stream.CopyTo(data, HeaderBytes);
        Saved.CopyTo(data, HeaderBytes + Stream.Length);
        SHA256.HashData(data.AsSpan(..^CheckBytes)).AsSpan(0, CheckBytes).CopyTo(data.AsSpan(data.Length - CheckBytes));
        return new AnchorEvent(StreamName(ReducerHash, Stream), EventContent.Encode(Type, data, ContentType, Schema));
    }

    /// <summary>Reads the data of an anchor's event.</summary>
    /// <exception cref="InvalidDataException">It is none, or not whole.</exception>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    public static Anchor Decode(ReadOnlySpan<byte> data)
    {
        CheckHeader(data);
        var (name, saved) = (BinaryPrimitives.ReadInt32LittleEndian(data[12..]), BinaryPrimitives.ReadInt32LittleEndian(data[120..]));
        if (name < 0 || saved < 0 || (long)HeaderBytes + name + saved + CheckBytes != data.Length
            || !SHA256.HashData(data[..^CheckBytes]).AsSpan(0, CheckBytes).SequenceEqual(data[^CheckBytes..]))
        {
            throw new InvalidDataException("An anchor is not what was written: its checksum differs.");
        }

        var last = new FoldedEvent(
            new StreamVersion(BinaryPrimitives.ReadInt64LittleEndian(data[88..])),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(data[96..])),
            BinaryPrimitives.ReadInt64LittleEndian(data[104..]),
            BinaryPrimitives.ReadInt64LittleEndian(data[112..]));
        return new Anchor(
            data.Slice(16, Reducer.HashBytes).ToArray(), data.Slice(HeaderBytes, name).ToArray(), new StreamVersion(BinaryPrimitives.ReadInt64LittleEndian(data[80..])),
            last, data.Slice(48, SHA256.HashSizeInBytes).ToArray(), data.Slice(HeaderBytes + name, saved).ToArray());
    }

    /// <summary>The anchor of a life after a version; null if there is none.</summary>
    /// <param name="reader">The vault.</param>
    /// <param name="reducer">Of the state.</param>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="first">First version of the life.</param>
    /// <param name="version">The version before the first one kept.</param>
    /// <exception cref="InvalidDataException">An event on the way is no anchor.</exception>
    public static Anchor? Find(EventReader reader, Reducer reducer, ReadOnlySpan<byte> stream, StreamVersion first, StreamVersion version)
    {
        // Truncations with anchors go forwards, which the sequencer sees to, and so do the versions of their anchors, over all lives.
        var anchors = reader.Reference(StreamName(reducer.Hash, stream));
        var last = reader.LastVersion(anchors).Value;
        long low = 0, high = last + 1;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = VersionAt(reader, anchors, middle) < version.Value ? (middle + 1, high) : (low, middle);
        }

        return low <= last && ReadAt(reader, anchors, low) is var found && found.Version == version && found.First == first
            && found.Stream.AsSpan().SequenceEqual(stream) && found.ReducerHash.AsSpan().SequenceEqual(reducer.Hash) ? found : null;
    }

    /// <summary>The state, to be folded on.</summary>
    /// <exception cref="InvalidDataException">It is not the one that was saved.</exception>
    /// <exception cref="StateTooLargeException">It is larger than states may be by now.</exception>
    public FoldState Restore(Reducer reducer, FoldLimits limits)
    {
        var state = reducer.Restore(Saved, limits);
        if (state.Bytes > limits.StateBytes)
        {
            throw new StateTooLargeException(state.Bytes, limits.StateBytes);
        }

        return state.JsonHash().AsSpan().SequenceEqual(StateHash) ? state : throw new InvalidDataException(
            $"The state of an anchor after version {Version} of '{Encoding.UTF8.GetString(Stream)}' is not the one that was saved: its hash differs.");
    }

    private static void CheckHeader(ReadOnlySpan<byte> data)
    {
        if (data.Length < HeaderBytes + CheckBytes || !data.StartsWith(Magic))
        {
            throw new InvalidDataException("An event of a stream of anchors is none.");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(data[8..]) is var format and not FormatVersion)
        {
            throw new UnsupportedFormatException("an anchor", $"version {format} of anchors");
        }
    }

    private static long VersionAt(EventReader reader, in StreamReference anchors, long at)
    {
        var sink = new VersionSink();
        reader.ReadWritten(anchors, new StreamVersion(at), new StreamVersion(at), ref sink);
        return sink.Version;
    }

    private static Anchor ReadAt(EventReader reader, in StreamReference anchors, long at)
    {
        var sink = new AnchorSink();
        reader.ReadWritten(anchors, new StreamVersion(at), new StreamVersion(at), ref sink);
        return sink.Found ?? throw new InvalidDataException("An anchor can't be read.");
    }

    private struct VersionSink : IEventSink
    {
        public long Version;

        public bool Accept(in EventView e)
        {
            var data = EventContent.Read(e).Data;
            CheckHeader(data);
            Version = BinaryPrimitives.ReadInt64LittleEndian(data[88..]);
            return true;
        }
    }

    private struct AnchorSink : IEventSink
    {
        public Anchor? Found;

        public bool Accept(in EventView e)
        {
            Found = Decode(EventContent.Read(e).Data);
            return true;
        }
    }
}
