using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>What an append that is decided is answered with.</summary>
internal static class AppendAnswers
{
    /// <summary>The answer, or why there is none.</summary>
    /// <param name="reader">The vault.</param>
    /// <param name="append">Decided.</param>
    /// <param name="leader">Where clients reach the leader, should it be asked instead; empty: nobody knows.</param>
    /// <param name="response">The answer.</param>
    /// <exception cref="DamageException">The first answer of a repeated append can't be read.</exception>
    public static Refusal? Answer(EventReader reader, QueuedAppend append, string leader, out AppendResponse? response)
    {
        response = null;
        switch (append.Outcome)
        {
            case AppendOutcome.Appended:
                response = NewAnswer(append);
                return null;
            case AppendOutcome.Known:
                if (reader.ReadAnswer(append.Place, append.Content) is not { } first)
                {
                    return Errors.RetryTooOld(reader.OperationFloor);
                }

                if (!first.SameContent)
                {
                    return Errors.OperationIdReused(first.First);
                }

                response = FirstAnswer(first, append.Content);
                return null;
            case AppendOutcome.Proven:
                response = FirstAnswer(append.Content.Proof!, append.Content);
                return null;
            case AppendOutcome.TooOld:
                return Errors.RetryTooOld(reader.OperationFloor);
            case AppendOutcome.Ahead:
                return Errors.Ahead(append.Content);
            case AppendOutcome.Damaged:
                return Errors.Damaged(append.Damage!);
            case AppendOutcome.Conflict:
                return Errors.Conflict(append.Content);
            default:
                return Errors.NotDone(append.Outcome, leader);
        }
    }

    /// <summary>Writes the usual answer, encoded by hand: no objects for what happens tens of thousands of times a second.</summary>
    /// <param name="append">Was appended.</param>
    /// <param name="writer">Gets an AppendResponse.</param>
    public static void WriteAppended(QueuedAppend append, RpcFrameWriter writer)
    {
        var size = AppendedBytes(append);
        var into = writer.BeginFrame(size);
        Invariant.Check(Encode(append, into.GetSpan(size), 0) == size);
        into.Advance(size);
    }

    /// <summary>Bytes of the AppendResponse of an append that was written.</summary>
    public static int AppendedBytes(QueuedAppend append)
    {
        var size = WireWriter.VarintFieldBytes(FirstOf(append)) + WireWriter.VarintFieldBytes(LastOf(append)) + WireWriter.Fixed64FieldBytes;
        foreach (ref readonly var stream in append.Content.Streams)
        {
            size += WireWriter.DelimitedFieldBytes(VersionBytes(stream));
        }

        return size;
    }

    /// <summary>Encodes that AppendResponse; returns where the next byte goes.</summary>
    public static int Encode(QueuedAppend append, Span<byte> bytes, int at)
    {
        at = WireWriter.VarintField(bytes, at, 1, FirstOf(append));
        at = WireWriter.VarintField(bytes, at, 2, LastOf(append));
        foreach (ref readonly var stream in append.Content.Streams)
        {
            at = WireWriter.DelimitedHeader(bytes, at, 3, VersionBytes(stream));
            at = WireWriter.DelimitedField(bytes, at, 1, append.Content.Name(stream));
            at = WireWriter.VarintField(bytes, at, 2, LastVersion(stream));
        }

        return WireWriter.Fixed64Field(bytes, at, 4, append.RecordedAt);
    }

    private static ulong FirstOf(QueuedAppend append) => (ulong)append.First.Value;

    private static ulong LastOf(QueuedAppend append) => (ulong)(append.First.Value + append.Content.EventCount - 1);

    private static ulong LastVersion(in AppendStream stream) => (ulong)(stream.Actual.Value + stream.EventCount);

    private static int VersionBytes(in AppendStream stream) =>
        WireWriter.DelimitedFieldBytes(stream.NameLength) + WireWriter.VarintFieldBytes(LastVersion(stream));

    private static AppendResponse NewAnswer(QueuedAppend append)
    {
        var response = new AppendResponse
        {
            FirstPosition = (ulong)append.First.Value,
            LastPosition = (ulong)(append.First + (append.Content.EventCount - 1)).Value,
            RecordedAt = append.RecordedAt,
        };
        foreach (ref readonly var stream in append.Content.Streams)
        {
            response.Streams.Add(Version(append.Content, stream, stream.Actual + stream.EventCount));
        }

        return response;
    }

    private static AppendResponse FirstAnswer(AppendAnswer first, AppendContent append)
    {
        Invariant.Check(first.Versions.Count == append.StreamCount || append.Change is not null, "Equal content has equal streams, but for the anchors of a truncation.");
        return FirstAnswer(first);
    }

    /// <summary>The first answer of an append that was found by its operation id.</summary>
    public static AppendResponse FirstAnswer(AppendAnswer first)
    {
        var response = new AppendResponse
        {
            FirstPosition = (ulong)first.First.Value,
            LastPosition = (ulong)first.Last.Value,
            RecordedAt = first.RecordedAt,
            Deduplicated = true,
        };
        for (var i = 0; i < first.Versions.Count; i++)
        {
            response.Streams.Add(new Protocol.StreamVersion { Stream = Errors.Name(first.Streams[i]), Version = (ulong)first.Versions[i].Value });
        }

        return response;
    }

    private static Protocol.StreamVersion Version(AppendContent append, in AppendStream stream, Storage.StreamVersion version) =>
        new() { Stream = Errors.Name(append.Name(stream)), Version = (ulong)version.Value };
}

/// <summary>
/// Gathers the answers of a session into one <c>AppendSessionResponse</c>. The usual answer is encoded by hand: no
/// objects for what happens hundreds of thousands of times a second.
/// </summary>
internal sealed class AnswerMessage
{
    /// <summary>More answers than this go into another message.</summary>
    private const int FullBytes = 64 * 1024;

    private byte[] _bytes = new byte[4096];
    private int _length;

    public bool IsEmpty => _length == 0;

    public bool IsFull => _length >= FullBytes;

    public ReadOnlySpan<byte> Encoded => _bytes.AsSpan(0, _length);

    public void Clear() => _length = 0;

    /// <summary>Adds the answer to an append that was written.</summary>
    public void AddAppended(ulong requestId, QueuedAppend append)
    {
        var at = Begin(requestId, outcome: 2, AppendAnswers.AppendedBytes(append));
        at = AppendAnswers.Encode(append, _bytes, at);
        Invariant.Check(at == _length);
    }

    /// <summary>Adds the answer to an append that had been written before.</summary>
    public void AddResponse(ulong requestId, AppendResponse response) => AddMessage(requestId, outcome: 2, response);

    /// <summary>Adds the answer to an append that was refused.</summary>
    public void AddError(ulong requestId, AppendError error) => AddMessage(requestId, outcome: 3, error);

    private void AddMessage(ulong requestId, int outcome, IMessage message)
    {
        var size = message.CalculateSize();
        var at = Begin(requestId, outcome, size);
        message.WriteTo(_bytes.AsSpan(at, size));
    }

    // Writes all of an AppendSessionResult but the outcome's bytes, for which it makes room; returns where they go.
    private int Begin(ulong requestId, int outcome, int outcomeBytes)
    {
        var size = WireWriter.VarintFieldBytes(requestId) + WireWriter.DelimitedFieldBytes(outcomeBytes);
        var end = _length + WireWriter.DelimitedFieldBytes(size);
        if (end > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(end, 2 * _bytes.Length));
        }

        var at = WireWriter.DelimitedHeader(_bytes, _length, 1, size);
        at = WireWriter.VarintField(_bytes, at, 1, requestId);
        at = WireWriter.DelimitedHeader(_bytes, at, outcome, outcomeBytes);
        _length = end;
        return at;
    }
}
