namespace EventVault.Client;

/// <summary>
/// What callers are told about appends that got no answer of their own. The one rule: "not written" is said only of an
/// append whose every attempt was refused or never sent. Each caller gets an exception of its own, because throwing
/// one object from several places garbles its stack trace.
/// </summary>
internal static class AppendFailures
{
    public static VaultException OutcomeUnknown(PendingAppend append, string why, VaultException? last)
    {
        string message = $"Whether the append was written is unknown: {why}. Send it again with operation id {append.OperationId}: "
            + "a repeat writes nothing twice." + (last is null ? "" : $" The last failure was: {last.Message}");
        var failure = new VaultFailure
        {
            Code = VaultErrorCode.OutcomeUnknown,
            Message = message,
            Stream = append.Streams[0].Stream,
            OperationId = append.OperationId,
            AttemptedAfter = append.AttemptedAfter,
        };
        return new VaultException(VaultErrorCode.OutcomeUnknown, message, [failure], last);
    }

    /// <summary>Its time is over, or that of the retry policy.</summary>
    /// <param name="append">The append.</param>
    /// <param name="last">The session's last failure; null: there was none.</param>
    /// <param name="telling">The one to tell if it was not written.</param>
    public static VaultException GivenUp(PendingAppend append, VaultException? last, VaultException? telling)
    {
        if (append.MayBeWritten)
        {
            return OutcomeUnknown(append, "no answer came in time", last);
        }

        return telling is null
            ? new VaultException(
                VaultErrorCode.TimedOut,
                "The append waited for others in this client until its time-out; it was definitely not written. Allow more time or append less at once.")
            : VaultErrors.Again(telling, $"The append was given up; it was definitely not written. The last failure was: {telling.Message}", telling);
    }

    /// <summary>The session that it was sent over ended with a failure that trying again does not cure.</summary>
    public static VaultException SessionEnded(PendingAppend append, VaultException failure) => append.MayBeWritten
        ? OutcomeUnknown(append, "the session ended", failure)
        : VaultErrors.Again(failure, failure.Message, failure);

    public static VaultException Closed(PendingAppend append) => append.MayBeWritten
        ? OutcomeUnknown(append, "the client was disposed", null)
        : NeverSent();

    /// <summary>The client was disposed before it was sent anywhere.</summary>
    public static VaultException NeverSent() =>
        new(VaultErrorCode.Closed, "The client was disposed before the append was sent; it was definitely not written.");
}
