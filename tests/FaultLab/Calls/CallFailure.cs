using EventVault.FaultLab.History;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Calls;

/// <summary>What a failed call says: docs/PROTOCOL.md, "Errors".</summary>
internal sealed class CallFailure
{
    private readonly RpcException _error;

    public CallFailure(RpcException error)
    {
        _error = error;
        Failures = error.Trailers.TryGetBinary("eventvault-error-bin", out var bytes) ? ErrorDetail.Parser.ParseFrom(bytes.Span).Failures : [];
    }

    public IReadOnlyList<Failure> Failures { get; }

    /// <summary>The first reason; unspecified: the call was lost, or the node had no words.</summary>
    public Reason Reason => Failures.Count > 0 ? Failures[0].Reason : Reason.Unspecified;

    /// <summary>Where the leader is, HOST:PORT; empty: it did not say.</summary>
    public string LeaderAddress => Failures.FirstOrDefault(f => f.Address.Length > 0)?.Address ?? "";

    /// <summary>What it means for an append.</summary>
    public AppendOutcome Outcome => Reason switch
    {
        Reason.WrongExpectedVersion or Reason.ConditionFailed => AppendOutcome.Conflict,
        Reason.OutcomeUnknown => AppendOutcome.Unknown,
        // No detail: lost on its way, unless it never left.
        Reason.Unspecified => _error.NotProcessed ? AppendOutcome.Refused : AppendOutcome.Unknown,
        _ => AppendOutcome.Refused,
    };

    /// <summary>For the history.</summary>
    public string Text => Reason == Reason.Unspecified ? $"{_error.Code}: {_error.Status.Message}" : $"{Reason}{(LeaderAddress.Length > 0 ? $" → {LeaderAddress}" : "")}";
}
