namespace EventVault.Rpc;

/// <summary>
/// A call that ended with another status than OK. Thrown by the client; thrown in a server's handler it becomes
/// the call's status, and its <see cref="Trailers"/> are sent.
/// </summary>
public sealed class RpcException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="code">The status; anything but <see cref="RpcCode.Ok"/>.</param>
    /// <param name="message">What happened, where, and what to do next. A server sends it to its caller.</param>
    /// <param name="trailers">Typed details, for example a serialised message under a key that ends in <c>-bin</c>.</param>
    /// <param name="inner">The cause; never sent to a caller.</param>
    /// <exception cref="ArgumentException"><paramref name="code"/> is OK.</exception>
    public RpcException(RpcCode code, string message, RpcMetadata? trailers = null, Exception? inner = null)
        : base(message, inner)
    {
        if (code == RpcCode.Ok)
        {
            throw new ArgumentException("OK is not an error: return normally instead.", nameof(code));
        }

        Status = new RpcStatus(code, message);
        Trailers = trailers ?? new RpcMetadata();
    }

    /// <summary>The status: code and message.</summary>
    public RpcStatus Status { get; }

    /// <summary>The status code.</summary>
    public RpcCode Code => Status.Code;

    /// <summary>The trailers that came, or will be sent, with the status. Never null.</summary>
    public RpcMetadata Trailers { get; }

    /// <summary>Of a message that was over a limit: its bytes, as far as they were counted, and how many were allowed; null: it is something else.</summary>
    public (long Bytes, long Allowed)? OverLimit { get; init; }

    /// <summary>
    /// True if the server certainly did not start to work on the call (never sent, or refused by the connection),
    /// so that sending it again can't have an effect twice. False means unknown.
    /// </summary>
    public bool NotProcessed { get; init; }
}
