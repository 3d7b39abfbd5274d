using EventVault.Rpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace EventVault.Rpc.Server;

// The life of one call between HTTP and its handler: checks, the handler, and exactly one status at the end. After a
// client has gone nothing of the response is touched.
internal static class ServerCall
{
    private static readonly RpcStatus Ok = new(RpcCode.Ok, string.Empty);

    /// <summary>Refuses by HTTP status what is not a gRPC call at all.</summary>
    public static bool Accept(HttpContext http)
    {
        if (!HttpProtocol.IsHttp2(http.Request.Protocol) && !HttpProtocol.IsHttp3(http.Request.Protocol))
        {
            http.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            http.Response.Headers.Upgrade = "h2c";
            return false;
        }

        if (!RpcServer.IsRpc(http.Request))
        {
            http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return false;
        }

        if (!HttpMethods.IsPost(http.Request.Method))
        {
            http.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            http.Response.Headers.Allow = HttpMethods.Post;
            return false;
        }

        return true;
    }

    // The one state machine of a call beside its handler's: with many calls at once there is no pool that holds them all.
    public static async Task RunAsync(RpcServer server, RpcServerOptions options, HttpContext http, string path, MethodEntry? method)
    {
        RpcContext? context = null;
        try
        {
            http.Response.ContentType = "application/grpc";
            RpcException? error = null;
            try
            {
                context = Open(server, options, http, path, method);
                await method!.Handler(context).ConfigureAwait(false);
                context.CheckAnswered();
            }
            catch (Exception e)
            {
                error = ToStatus(e, context, path, options);
                if (error is null)
                {
                    options.Ended?.Invoke(context!, RpcCode.Cancelled);
                    context!.Release();
                    http.Abort();
                    return;
                }
            }

            if (context is not null)
            {
                options.Ended?.Invoke(context, error?.Code ?? RpcCode.Ok);
            }

            Finish(http, context, error);
            context?.Release();
        }
        finally
        {
            server.EndCall();
        }
    }

    private static RpcContext Open(RpcServer server, RpcServerOptions options, HttpContext http, string path, MethodEntry? method)
    {
        if (method is null)
        {
            throw options.UnknownRefusal?.Invoke() ?? new RpcException(RpcCode.Unimplemented, $"This server has no method {path}.");
        }

        if (server.Draining.IsCancellationRequested && !method.ServesWhileDraining)
        {
            throw options.DrainRefusal?.Invoke() ?? new RpcException(RpcCode.Unavailable, "The server is stopping and takes no new calls. Try again, or another server.");
        }

        TimeSpan? timeout = null;
        var headers = http.Request.Headers;
        if (headers.TryGetValue("grpc-timeout", out var timeoutText))
        {
            if (!TimeoutFormat.TryParse(timeoutText.ToString(), out var parsed))
            {
                throw new RpcException(RpcCode.Internal, $"grpc-timeout is {timeoutText}; expected at most eight digits and one of H M S m u n.");
            }

            if (parsed <= TimeSpan.Zero)
            {
                throw new RpcException(RpcCode.DeadlineExceeded, $"{path}: the deadline had passed before the call arrived.");
            }

            timeout = parsed;
        }

        var gzip = false;
        if (headers.TryGetValue("grpc-encoding", out var encoding) && encoding.ToString() is var name && name != "identity")
        {
            if (name != GzipCodec.Name || !options.AllowGzip)
            {
                http.Response.Headers["grpc-accept-encoding"] = options.AllowGzip ? "identity,gzip" : "identity";
                throw new RpcException(RpcCode.Unimplemented, $"Messages compressed with {name} are not supported; see grpc-accept-encoding for what is.");
            }

            gzip = true;
        }

        // Kestrel's limit is for whole bodies and would end long streams; here each message has a limit.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } bodySize)
        {
            bodySize.MaxRequestBodySize = null;
        }

        return new RpcContext(server, options, http, path, timeout, gzip) { MaxReceiveBytes = Math.Min(options.MaxReceiveBytes, method.MaxReceiveBytes) };
    }

    /// <summary>The status that an exception becomes; null if the client is gone.</summary>
    private static RpcException? ToStatus(Exception e, RpcContext? context, string path, RpcServerOptions options)
    {
        if (options.Explain?.Invoke(e) is { } told)
        {
            return told;
        }

        switch (e)
        {
            case RpcException known:
                return known;
            case OperationCanceledException when context is not null:
                return context.WhyCancelled();
            default:
                // A failure after the client has gone is most likely its consequence; nobody is there to be told.
                if (context is not null && context.WhyCancelled() is null)
                {
                    return null;
                }

                if (options.Logger is { } logger)
                {
                    LogMessages.HandlerFailed(logger, e, path);
                }

                return new RpcException(RpcCode.Unknown, "The server failed while handling the call; its log says why.");
        }
    }

    private static void Finish(HttpContext http, RpcContext? context, RpcException? error)
    {
        var status = error?.Status ?? Ok;
        if (context is { WrotePartOfMessage: true })
        {
            // The client would wait for the rest of the message or misread the next: only a reset is honest.
            http.Abort();
            return;
        }

        if (context is { HasResponseHeaders: true })
        {
            context.ApplyHeaders();
        }

        // Nothing sent yet: the status goes into the response headers (Trailers-Only).
        var target = context is { HeadersApplied: true }
            ? http.Features.GetRequiredFeature<IHttpResponseTrailersFeature>().Trailers
            : http.Response.Headers;
        target["grpc-status"] = StatusMapping.Number(status.Code);
        if (status.Message.Length > 0)
        {
            target["grpc-message"] = PercentEncoding.Encode(status.Message);
        }

        if (context is not null)
        {
            context.AppendTrailersTo(target, error?.Trailers);
        }
        else if (error is not null)
        {
            RpcContext.AppendTo(target, error.Trailers);
        }
    }
}
