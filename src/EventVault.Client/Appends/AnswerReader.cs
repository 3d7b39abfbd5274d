using EventVault.Rpc;

namespace EventVault.Client;

/// <summary>Reads the answers of an append session from their bytes.</summary>
internal static class AnswerReader
{
    /// <summary>Splits one result of an <c>AppendSessionResponse</c> into its parts.</summary>
    public static Answer Read(ReadOnlySpan<byte> result)
    {
        var reader = new WireReader(result);
        var answer = new Answer();
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    answer.RequestId = reader.VarintField();
                    break;
                case 2:
                    answer.Result = reader.BytesField();
                    answer.HasResult = true;
                    break;
                case 3:
                    answer.Error = reader.BytesField();
                    answer.HasError = true;
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return answer.HasResult != answer.HasError
            ? answer
            : throw VaultErrors.ProtocolViolation($"the answer to request {answer.RequestId} has neither a result nor an error, or both");
    }

    /// <summary>Reads an <c>AppendResponse</c>.</summary>
    public static AppendResult ReadResult(ReadOnlySpan<byte> response, IReadOnlyList<StreamAppend> streams)
    {
        var reader = new WireReader(response);
        ulong first = 0;
        ulong last = 0;
        long recordedAt = 0;
        bool deduplicated = false;
        ulong lastVersion = 0;
        StreamVersion[]? versions = streams.Count > 1 ? new StreamVersion[streams.Count] : null;
        int seen = 0;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    first = reader.VarintField();
                    break;
                case 2:
                    last = reader.VarintField();
                    break;
                case 3:
                    ulong version = ReadVersion(reader.BytesField());
                    if (seen == 0)
                    {
                        lastVersion = version;
                    }

                    // The answer lists the streams in the request's order; their names are at hand here.
                    if (versions is not null && seen < versions.Length)
                    {
                        versions[seen] = new StreamVersion(streams[seen].Stream, version);
                    }

                    seen++;
                    break;
                case 4:
                    recordedAt = reader.Fixed64Field();
                    break;
                case 5:
                    deduplicated = reader.VarintField() != 0;
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return seen == streams.Count
            ? new AppendResult(streams[0].Stream, lastVersion, versions)
            {
                FirstPosition = first,
                LastPosition = last,
                RecordedAt = VaultTime.FromTicks(recordedAt),
                Deduplicated = deduplicated,
            }
            : throw VaultErrors.ProtocolViolation($"an append of {streams.Count} streams was answered with the versions of {seen}");
    }

    /// <summary>Reads an <c>AppendError</c>; rare, so by the generated parser.</summary>
    /// <returns>The failure, and whether it ends the session: then all later requests are refused with this one.</returns>
    public static (VaultException Failure, bool EndsSession) ReadError(ReadOnlySpan<byte> error)
    {
        Protocol.AppendError message;
        try
        {
            message = Protocol.AppendError.Parser.ParseFrom(error);
        }
        catch (Google.Protobuf.InvalidProtocolBufferException)
        {
            throw VaultErrors.ProtocolViolation("the error of an answer is malformed");
        }

        var status = (RpcCode)message.Code;
        VaultException failure = VaultErrors.From(status, message.Message, message.Detail);
        return (failure, status is RpcCode.Unavailable or RpcCode.ResourceExhausted or RpcCode.DeadlineExceeded);
    }

    private static ulong ReadVersion(ReadOnlySpan<byte> streamVersion)
    {
        var reader = new WireReader(streamVersion);
        ulong version = 0;
        while (reader.Next())
        {
            if (reader.Field == 2)
            {
                version = reader.VarintField();
            }
            else
            {
                reader.Skip();
            }
        }

        return version;
    }
}

/// <summary>One answer of a session: a result or an error, still encoded.</summary>
internal ref struct Answer
{
    public ulong RequestId;
    public ReadOnlySpan<byte> Result;
    public ReadOnlySpan<byte> Error;
    public bool HasResult;
    public bool HasError;
}
