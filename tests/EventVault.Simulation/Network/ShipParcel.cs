using EventVault.Node.Peers;
using EventVault.Raft;

namespace EventVault.Simulation.Network;

/// <summary>A request of shipping on its way, or the answer to one.</summary>
/// <param name="From">Who sent it.</param>
/// <param name="To">For whom: whoever else is there refuses it.</param>
/// <param name="Kind">What is asked.</param>
/// <param name="Number">Tells an asker's requests apart; the answer has its request's.</param>
internal sealed record ShipParcel(ReplicaId From, ReplicaId To, PeerRequestKind Kind, long Number) : IParcel
{
    /// <summary>The request, or the answer.</summary>
    public byte[] Content { get; init; } = [];

    public bool IsAnswer { get; init; }

    /// <summary>Of an answer: why there is none; null: it is in the content.</summary>
    public string? Refusal { get; init; }

    public void MixInto(Scheduling.Trace trace)
    {
        trace.Mix(((long)Kind << 40) | ((long)From.Node << 32) | To.Node, Number);
        trace.Mix(Content.Length, (IsAnswer ? 1 : 0) + (Refusal is null ? 0 : 2));
    }

    public override string ToString() =>
        $"{Kind} {From} -> {To}, number {Number}: {(IsAnswer ? Refusal ?? $"answer of {Content.Length} bytes" : "request")}";
}
