using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Services;

/// <summary>Why a call, or one append of a session, failed: the status, and the typed detail that goes with it.</summary>
/// <param name="Code">The gRPC status.</param>
/// <param name="Detail">At least one failure; the first one's message is the status message.</param>
internal sealed record Refusal(RpcCode Code, ErrorDetail Detail)
{
    /// <summary>Trailer that carries the detail.</summary>
    public const string TrailerKey = "eventvault-error-bin";

    /// <summary>
    /// Most bytes of a detail in a trailer. C-core takes 8 KiB of them in all, and others not much more: beyond it the client
    /// sees a broken connection instead of what failed. In base64 this is two thirds of the 8 KiB.
    /// </summary>
    private const int MostTrailerBytes = 4096;

    public Refusal(RpcCode code, Failure failure)
        : this(code, new ErrorDetail { Failures = { failure } })
    {
    }

    /// <summary>For people.</summary>
    public string Message => Detail.Failures[0].Message;

    /// <summary>
    /// Whether an append session ends with it: leadership, overload, fullness, drain, time-out or an unknown outcome.
    /// Everything behind such an append is refused with it.
    /// </summary>
    public bool EndsSession => Code is RpcCode.Unavailable or RpcCode.ResourceExhausted or RpcCode.DeadlineExceeded;

    public RpcException ToException(Exception? cause = null)
    {
        var detail = ForTrailer();
        return new(Code, detail.Failures[0].Message, new RpcMetadata().Add(TrailerKey, detail.ToByteArray()), cause);
    }

    // The first failures as far as there is room, at least one, and how many more there are. A session's answer has room for all.
    private ErrorDetail ForTrailer()
    {
        if (Detail.CalculateSize() <= MostTrailerBytes)
        {
            return Detail;
        }

        var told = new ErrorDetail();
        foreach (var failure in Detail.Failures)
        {
            told.Failures.Add(failure.Clone());
            if (told.CalculateSize() > MostTrailerBytes && told.Failures.Count > 1)
            {
                told.Failures.RemoveAt(told.Failures.Count - 1);
                break;
            }
        }

        told.Failures[^1].Message += FormattableString.Invariant($" {Detail.Failures.Count - told.Failures.Count} more checks failed.");
        return told;
    }

    public AppendError ToAppendError() => new() { Code = (int)Code, Message = Message, Detail = Detail };
}
