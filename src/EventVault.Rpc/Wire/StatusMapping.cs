using System.Globalization;

namespace EventVault.Rpc.Wire;

// The only place that turns other protocols' codes into RpcCode (grpc/grpc doc/http-grpc-status-mapping.md and
// doc/PROTOCOL-HTTP2.md, section Errors).
internal static class StatusMapping
{
    public static RpcCode FromGrpcStatus(string? text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number is >= 0 and <= 16
            ? (RpcCode)number
            : RpcCode.Unknown;

    /// <summary>For an answer without grpc-status.</summary>
    public static RpcCode FromHttpStatus(int httpStatus) => httpStatus switch
    {
        400 => RpcCode.Internal,
        401 => RpcCode.Unauthenticated,
        403 => RpcCode.PermissionDenied,
        404 => RpcCode.Unimplemented,
        429 or 502 or 503 or 504 => RpcCode.Unavailable,
        _ => RpcCode.Unknown,
    };

    /// <summary>For a stream or connection that ended with an HTTP/2 error code.</summary>
    public static RpcCode FromHttp2Error(long errorCode) => errorCode switch
    {
        7 => RpcCode.Unavailable,        // REFUSED_STREAM: not processed
        8 => RpcCode.Cancelled,          // CANCEL
        11 => RpcCode.ResourceExhausted, // ENHANCE_YOUR_CALM
        12 => RpcCode.PermissionDenied,  // INADEQUATE_SECURITY
        _ => RpcCode.Internal,
    };

    public static string Number(RpcCode code) => code switch
    {
        RpcCode.Ok => "0",
        _ => ((int)code).ToString(CultureInfo.InvariantCulture),
    };
}
