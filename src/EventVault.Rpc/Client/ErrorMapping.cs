using EventVault.Rpc.Wire;

namespace EventVault.Rpc.Client;

// Turns what the HTTP client throws into a status. The order matters: InvalidProtocolBufferException derives from
// IOException, so parse errors are turned into INTERNAL where they arise and never come here as a lost connection.
internal static class ErrorMapping
{
    public static RpcException From(Exception error, Uri address, string path)
    {
        for (Exception? e = error; e is not null; e = e.InnerException)
        {
            if (e is RpcException known)
            {
                return known;
            }

            if (e is HttpProtocolException protocol)
            {
                return FromHttp2(protocol, address, path);
            }
        }

        return error switch
        {
            // The HTTP client reports its connect time-out as a cancellation; other cancellations may have been processed.
            OperationCanceledException { InnerException: TimeoutException } => NotConnected(error, address, path, "it did not accept a connection in time"),
            HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.ProxyTunnelError }
                => NotConnected(error, address, path, error.Message),
            HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError }
                => NotConnected(error, address, path, $"TLS failed: {error.GetBaseException().Message.TrimEnd('.')}; its certificate has to be valid, for this name, and signed by an authority that this client trusts; a server without TLS is reached by http"),
            HttpRequestException { HttpRequestError: HttpRequestError.VersionNegotiationError }
                => NotConnected(error, address, path, "it does not speak HTTP/2; check scheme and port"),
            HttpRequestException { HttpRequestError: HttpRequestError.ConfigurationLimitExceeded }
                => new RpcException(RpcCode.ResourceExhausted, $"{path}: the server's headers or trailers are over the limit of this client.", inner: error),
            HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse } when address.Scheme == Uri.UriSchemeHttp
                => Lost(error, address, path, " If it speaks TLS, its address begins with https."),
            HttpRequestException or IOException or OperationCanceledException => Lost(error, address, path),
            _ => new RpcException(RpcCode.Unknown, $"{path}: the call failed unexpectedly: {error.Message}", inner: error),
        };
    }

    private static RpcException FromHttp2(HttpProtocolException error, Uri address, string path)
    {
        const long NoError = 0;
        const long RefusedStream = 7;
        const long Http11Required = 13;
        if (error.ErrorCode == NoError)
        {
            return new RpcException(RpcCode.Unavailable, $"{path}: {address} closed the connection before the call ended. Whether it had its effect is unknown.", inner: error);
        }

        if (error.ErrorCode == Http11Required)
        {
            // RFC 9113 does not say that the peer has not taken the request, so neither does this.
            return new RpcException(RpcCode.Unavailable, $"{path}: {address} speaks HTTP/1.1 only, so it is no gRPC port.", inner: error);
        }

        var refused = error.ErrorCode == RefusedStream;
        return new RpcException(
            StatusMapping.FromHttp2Error(error.ErrorCode),
            $"{path}: {address} ended the call with HTTP/2 error {error.ErrorCode}{(refused ? " (refused, not processed)" : string.Empty)}.",
            inner: error)
        {
            NotProcessed = refused,
        };
    }

    private static RpcException Lost(Exception error, Uri address, string path, string hint = "") =>
        new(RpcCode.Unavailable, $"{path}: the connection to {address} was lost: {error.GetBaseException().Message.TrimEnd('.')}.{hint} Whether the call had its effect is unknown.", inner: error);

    private static RpcException NotConnected(Exception error, Uri address, string path, string why) =>
        new(RpcCode.Unavailable, $"{path}: can't reach {address}: {why}.", inner: error) { NotProcessed = true };
}
