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

    public RpcException ToException(Exception? cause = null) =>
        new(Code, Message, new RpcMetadata().Add(TrailerKey, Detail.ToByteArray()), cause);

    public AppendError ToAppendError() => new() { Code = (int)Code, Message = Message, Detail = Detail };
}
