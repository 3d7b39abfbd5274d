namespace EventVault.Client.Tests.Support;

/// <summary>What the scripted vault does with one append of a session.</summary>
public enum Fault
{
    None,

    /// <summary>Cuts the connection; the append is not done.</summary>
    CutBefore,

    /// <summary>Does the append and cuts the connection instead of answering.</summary>
    CutAfter,

    /// <summary>Resets only the call; the append is not done.</summary>
    ResetBefore,

    /// <summary>Does the append and resets only the call instead of answering.</summary>
    ResetAfter,

    /// <summary>Refuses this append and all after it, and ends the call, as proto/ has it.</summary>
    RefuseOverloaded,
    RefuseDraining,
    RefuseStoreFull,
    RefuseTimedOut,
    RefuseOutcomeUnknown,

    /// <summary>Answers that its caller may not do that, and goes on with the next one.</summary>
    NotAllowed,

    /// <summary>As <see cref="NotAllowed"/>: it is over a limit of the node.</summary>
    LimitExceeded,

    /// <summary>As <see cref="NotAllowed"/>: it has a field that the node does not know.</summary>
    UnknownField,

    /// <summary>As <see cref="NotAllowed"/>: what has to be looked at can't be read.</summary>
    Damaged,

    /// <summary>Ends the call with OK without an answer to this one; it is not done.</summary>
    EndCall,

    /// <summary>Ends the call with DRAINING as its status only, without an answer to this one; it is done.</summary>
    EndCallDraining,

    /// <summary>Ends the call with CREDENTIALS_ENDED as its status only, without an answer to this one; it is done.</summary>
    EndCallCredentialsEnded,

    AnswerTwice,

    /// <summary>Answers with the request id of the next one.</summary>
    AnswerOutOfTurn,

    /// <summary>Answers with bytes that are no protobuf; the append is done.</summary>
    AnswerGarbage,
}
