namespace EventVault.Rpc;

/// <summary>The outcome of a call: the numbers of gRPC's status codes.</summary>
public enum RpcCode
{
    /// <summary>The call succeeded.</summary>
    Ok = 0,

    /// <summary>The call was cancelled, as a rule by its caller.</summary>
    Cancelled = 1,

    /// <summary>An error without a better code; also what a handler's unexpected exception becomes.</summary>
    Unknown = 2,

    /// <summary>The request is wrong whatever the state of the server.</summary>
    InvalidArgument = 3,

    /// <summary>The call's time ran out; it may have had its effect.</summary>
    DeadlineExceeded = 4,

    /// <summary>What was asked for does not exist.</summary>
    NotFound = 5,

    /// <summary>What should be created exists.</summary>
    AlreadyExists = 6,

    /// <summary>The caller is known and may not do this.</summary>
    PermissionDenied = 7,

    /// <summary>A limit or quota was reached: message size, queue, space.</summary>
    ResourceExhausted = 8,

    /// <summary>The server is not in the state that the request needs.</summary>
    FailedPrecondition = 9,

    /// <summary>A check failed because of a concurrent change.</summary>
    Aborted = 10,

    /// <summary>Past the valid range.</summary>
    OutOfRange = 11,

    /// <summary>The server does not have this method, encoding or cardinality.</summary>
    Unimplemented = 12,

    /// <summary>The protocol was broken: a malformed frame, message or answer.</summary>
    Internal = 13,

    /// <summary>The server can't be reached or won't take the call now.</summary>
    Unavailable = 14,

    /// <summary>Data is lost or damaged.</summary>
    DataLoss = 15,

    /// <summary>The caller did not say who it is, or not convincingly.</summary>
    Unauthenticated = 16,
}
