// The disk of a node whose log is damaged in its unsealed end may become another one (Reincarnation), which nobody counts. Two of three that did so at
// once would leave no majority, for ever. So it may only when a leader has said that it leads without this disk; until then nothing on the disk changes.
// The leader's side is Readmission.LetBeginAnewAsync; decision 0016 says why no two can get leave from one majority.
//
// Whoever asks has no disk that could be shown to others: it introduces itself as a node without a vault, and says in the request what it is.
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Storage;
using Google.Protobuf;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Peers;

/// <summary>Asks the others whether a damaged disk may begin anew, while its storage is opened.</summary>
/// <param name="options">Says how the others are reached.</param>
/// <param name="watch">Is told what is waited for, and ends it.</param>
/// <param name="log">Told the same; there once the node's host is made.</param>
internal sealed class BeginningAnew(NodeOptions options, OpeningWatch watch, Task<ILogger> log)
{
    /// <summary>How long to wait behind the first try; twice as long behind each further one.</summary>
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);

    /// <summary>Longest wait between two tries: whoever is waited for may come back at any time.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>How long a leader may take to make sure that it leads.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Ends when the disk may begin anew, or never can: then the others are no majority without it. On the thread that opens the storage, which has nothing
    /// else to do until then.
    /// </summary>
    /// <exception cref="OperationCanceledException">The opening is to end.</exception>
    public bool MayBegin(DamagedEnd end) => end.Memberships.All(m => OthersDecide(m.Span, end.NodeId)) && WaitAsync(end).GetAwaiter().GetResult();

    // Whether the others can take this node in again without it, and one of them has all that it acknowledged: they are a majority alone, in
    // both halves of a joint membership. Of two voters neither may give itself up.
    private static bool OthersDecide(ReadOnlySpan<byte> membership, uint nodeId) =>
        Membership.Decode(membership) is { } members
        && AreMajority(members, MemberRole.Voter, nodeId) && (!members.IsJoint || AreMajority(members, MemberRole.OutgoingVoter, nodeId));

    private static bool AreMajority(Membership members, MemberRole role, uint nodeId)
    {
        var voters = members.Members.Where(m => (m.Role & role) != 0).ToList();
        return voters.Count(m => m.Id.Node != nodeId) > voters.Count / 2;
    }

    private async Task<bool> WaitAsync(DamagedEnd end)
    {
        var logger = await log.WaitAsync(watch.Cancellation);
        var hello = new PeerHello(Guid.Empty, default, Guid.NewGuid(), 0, string.Empty, Services.AdminService.Version);
        await using var network = NodePorts.NewNetwork(options, hello, logger);
        var members = end.Memberships.Select(m => Membership.Decode(m.Span)!).SelectMany(m => m.Members).ToList();
        var others = members.Where(m => m.Id.Node != end.NodeId && m.Address.Length > 0).Select(m => m.Address).ToHashSet();
        var request = new BeginAnewRequest { VaultId = ClusterView.Bytes(end.VaultId), NodeId = end.NodeId };
        request.Incarnations.AddRange(Was(members.Select(static m => m.Id), end).Select(ClusterView.Bytes));
        var (pause, told) = (FirstPause, string.Empty);
        while (await AskAsync(network, others, end.VaultId, request) is { } why)
        {
            watch.Begin($"the end of its log is damaged ({end.Damage.TrimEnd('.')}); nothing was changed: it waits for a leader of the others before its disk begins anew ({why}). "
                + "If no majority of them comes back, stop it, and restore the segment from a copy");
            if (why != told)
            {
                LogMessages.WaitsToBeginAnew(logger, why, end.Damage);
                told = why;
            }

            await Task.Delay(pause, watch.Cancellation);
            pause = 2 * pause < LongestPause ? 2 * pause : LongestPause;
        }

        return true;
    }

    /// <summary>What the disk was, the newest first, and no more than a leader takes: older ones can't be members any more.</summary>
    /// <param name="members">Of all memberships that are known, in the order of the log.</param>
    /// <param name="end">The disk.</param>
    internal static IEnumerable<Guid> Was(IEnumerable<ReplicaId> members, DamagedEnd end) =>
        members.Where(id => id.Node == end.NodeId).Select(static id => id.Incarnation).Append(end.Incarnation).Reverse().Distinct().Take(Readmission.MostBefore);

    // Null: it may begin anew. Otherwise why not yet. Members that were never heard of before are asked the next time.
    private async Task<string?> AskAsync(IPeerNetwork network, HashSet<string> others, Guid vault, BeginAnewRequest request)
    {
        var answers = await Task.WhenAll(others.Select(address => StatusAsync(network, address)));
        var known = answers.Where(s => s is not null && ClusterView.IdOf(s.VaultId) == vault).Select(s => s!).ToList();
        foreach (var member in known.Select(s => Membership.Decode(s.Membership.Span)).SelectMany(m => m?.Members ?? []).Where(m => m.Id.Node != request.NodeId && m.Address.Length > 0))
        {
            others.Add(member.Address);
        }

        if (Readmission.LeaderOf(known) is not { } leader)
        {
            return $"none leads: {known.Count} of {others.Count} answer";
        }

        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(watch.Cancellation);
            patience.CancelAfter(Patience);
            await network.AskAsync(leader, PeerRequestKind.BeginAnew, request.ToByteArray(), patience.Token);
            return null;
        }
        catch (PeerRequestException e)
        {
            return $"node {leader.Id?.Node}: {e.Message.TrimEnd('.')}";
        }
        catch (OperationCanceledException) when (!watch.Cancellation.IsCancellationRequested)
        {
            return $"node {leader.Id?.Node} has not answered yet";
        }
    }

    private async Task<PeerStatus?> StatusAsync(IPeerNetwork network, string address)
    {
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(watch.Cancellation);
            patience.CancelAfter(ClusterView.Patience);
            return PeerStatus.Parser.ParseFrom(await network.AskAsync(new PeerTarget(address), PeerRequestKind.Status, default, patience.Token));
        }
        catch (Exception e) when (e is PeerRequestException or InvalidProtocolBufferException || (e is OperationCanceledException && !watch.Cancellation.IsCancellationRequested))
        {
            return null;
        }
    }
}
