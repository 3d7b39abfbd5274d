// Every metric of a node. docs/OBSERVABILITY.md has the same list; a test holds the two against each other, and against what a running node says.
// Labels have few values: methods, statuses, reasons, roles, nodes of the vault. Names of streams, categories and clients are none of them.
using System.Diagnostics;
using System.Globalization;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Node.Services;
using EventVault.Node.States;
using EventVault.Raft;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Scavenging;
using EventVault.Temporal;

namespace EventVault.Node.Metrics;

/// <summary>What metrics are read from.</summary>
internal sealed record MetricSources(
    NodeOptions Options, VaultStorage Storage, VaultLoop Loop, Replica Replica, LogWriter Writer, NodeFigures Figures, NodePulse Pulse, NodeHealth Health,
    NodePeers Peers, Scrub Scrub, RetentionLoop Retention, FoldPlaces Places, StateSnapshots Kept, RpcServer Server, NodeWeb Web);

/// <summary>The metrics of a node.</summary>
internal static class NodeMetrics
{
    private const double Nanoseconds = 1e9;

    private static readonly Role[] Roles = Enum.GetValues<Role>();
    private static readonly ScavengeState[] ScavengeStates = Enum.GetValues<ScavengeState>();

    /// <summary>All of them, in the order of the documentation.</summary>
    public static IReadOnlyList<Metric> Of(MetricSources sources) =>
    [
        .. OfNode(sources), .. OfAppends(sources), .. OfLog(sources), .. OfReads(sources), .. OfConsensus(sources), .. OfPeers(sources), .. OfDisk(sources), .. OfUpkeep(sources),
        .. ProcessMetrics.All,
    ];

    private static IEnumerable<Metric> OfNode(MetricSources s) =>
    [
        new("eventvault.build.info", MetricKind.Gauge, "", "Always 1; what the node is", v => v.Add(1, AdminService.Version, Number(s.Storage.NodeId), s.Storage.VaultId.ToString()))
        {
            Labels = ["version", "node", "vault"],
        },
        new("eventvault.node.ready", MetricKind.Gauge, "", "1: the node does all that it is for; as /health/ready says", v => v.Add(s.Health.IsReady ? 1 : 0)),
        new("eventvault.node.readable", MetricKind.Gauge, "", "1: the node may be read from; as /health/reads says", v => v.Add(s.Health.NotReadable is null ? 1 : 0)),
        new("eventvault.vault_thread.silence", MetricKind.Gauge, "s", "How long the thread that writes the log has owed a sign of life; 0: it owes none", v => v.Add(s.Pulse.Silence.TotalSeconds)),
        new("eventvault.calls.active", MetricKind.Gauge, "{call}", "gRPC calls that are open", v => v.Add(s.Server.ActiveCalls)),
        new("rpc.server.call.duration", MetricKind.Histogram, "s", "How long gRPC calls took, but for those that last as long as their client likes", s.Figures.Calls.Read)
        {
            Labels = ["rpc_method", "rpc_response_status_code"],
        },
        new("eventvault.connections", MetricKind.Gauge, "{connection}", "Connections of clients to the gRPC and HTTP ports", v => v.Add(s.Web.Connections.Open)),
        new("eventvault.tls.certificate.time_left", MetricKind.Gauge, "s", "How long the certificate is valid yet", v => AddCertificates(s, v)) { Labels = ["port"] },
    ];

    private static IEnumerable<Metric> OfAppends(MetricSources s) =>
    [
        new("eventvault.appends", MetricKind.Counter, "{append}", "Appends of clients that were answered: appended, deduplicated (written before), or the reason why they were refused", s.Figures.Appends.Read)
        {
            Labels = ["outcome"],
        },
        new("eventvault.append.events", MetricKind.Counter, "{event}", "Events of appends that were answered as appended", v => v.Add(s.Figures.Appends.Events)),
        new("eventvault.append.size", MetricKind.Counter, "By", "Bytes of the requests of those appends", v => v.Add(s.Figures.Appends.Bytes)),
        new("eventvault.append.duration", MetricKind.Histogram, "s", "From the arrival of an append's request to its answer; of those that were written", v => v.Add(s.Figures.Appends.Durations, Nanoseconds)),
        new("eventvault.append.queue.length", MetricKind.Gauge, "{append}", "Appends that wait to be written", v => v.Add(s.Loop.Waiting)),
        new("eventvault.append.queue.age", MetricKind.Gauge, "s", "How long the append that is written next has waited; 0: none had to", v => v.Add(Age(s.Loop.WaitsSince))),
    ];

    private static IEnumerable<Metric> OfLog(MetricSources s) =>
    [
        new("eventvault.log.head", MetricKind.Gauge, "{position}", "Position of the last committed event; -1: there is none", v => v.Add(s.Storage.Head.Value)),
        new("eventvault.log.appends", MetricKind.Counter, "{append}", "Appends committed here since the node began, also those of other nodes' clients", v => v.Add(s.Replica.Appends)),
        new("eventvault.log.events", MetricKind.Counter, "{event}", "Events of those", v => v.Add(s.Replica.Events)),
        new("eventvault.log.groups", MetricKind.Counter, "{group}", "Groups made durable here", v => v.Add(s.Writer.GroupsFlushed)),
        new("eventvault.log.written", MetricKind.Counter, "By", "Bytes of groups written to the log", v => v.Add(s.Writer.BytesWritten)),
        new("eventvault.log.flush.duration", MetricKind.Histogram, "s", "How long flushes of the log took", v => v.Add(s.Writer.FlushTimes, Nanoseconds)),
        new("eventvault.log.group.appends", MetricKind.Histogram, "{append}", "Appends in a group: what shares one flush", v => v.Add(s.Writer.GroupAppends, 1)),
        new("eventvault.log.segments", MetricKind.Gauge, "{segment}", "Segments of the log", v =>
        {
            var (@sealed, @unsealed) = s.Storage.SegmentCounts;
            v.Add(@sealed, "sealed");
            v.Add(@unsealed, "unsealed");
        })
        {
            Labels = ["state"],
        },
        new("eventvault.log.spare_segments", MetricKind.Gauge, "{segment}", "Segments prepared ahead: 1, but for moments and on a full disk", v => v.Add(s.Storage.HasSpareSegment ? 1 : 0)),
    ];

    private static IEnumerable<Metric> OfReads(MetricSources s) =>
    [
        new("eventvault.read.events", MetricKind.Counter, "{event}", "Events handed out by reads and subscriptions", v => AddReads(s.Figures, v, r => r.Events)) { Labels = ["kind"] },
        new("eventvault.read.size", MetricKind.Counter, "By", "Bytes of those events, as they are sent", v => AddReads(s.Figures, v, r => r.Bytes)) { Labels = ["kind"] },
        new("eventvault.subscriptions", MetricKind.Gauge, "{subscription}", "Subscriptions that are open", v => v.Add(s.Figures.Subscriptions.Count)),
        new("eventvault.subscription.lag.events", MetricKind.Gauge, "{event}", "How many positions the slowest subscription to all streams is behind", v => v.Add(LagOf(s)?.Events ?? 0)),
        new("eventvault.subscription.lag", MetricKind.Gauge, "s", "How old the next event of that subscription is; 0: none is behind", v => v.Add(LagOf(s)?.Seconds ?? 0)),
        new("eventvault.subscription.asleep", MetricKind.Gauge, "s", "How long a subscription has slept through commits, which is the node's fault; 0: none does", v => v.Add(s.Pulse.Asleep.TotalSeconds)),
        new("eventvault.reads.cut", MetricKind.Counter, "{call}", "Reads and subscriptions that were ended because their clients kept memory that others waited for", v => v.Add(s.Figures.Subscriptions.Cut)),
        new("eventvault.folds.waiting", MetricKind.Gauge, "{fold}", "Long folds that wait for a place", v => v.Add(s.Places.Waiting)),
        new("eventvault.states.kept", MetricKind.Gauge, "By", "Bytes of states kept on the way", v => v.Add(s.Kept.Bytes)),
    ];

    private static IEnumerable<Metric> OfConsensus(MetricSources s) =>
    [
        new("eventvault.raft.role", MetricKind.Gauge, "", "1 for the role that the node has", v =>
        {
            foreach (var role in Roles)
            {
                v.Add(s.Loop.Standing.Role == role ? 1 : 0, MetricValues.LabelOf(role));
            }
        })
        {
            Labels = ["role"],
        },
        new("eventvault.raft.has_leader", MetricKind.Gauge, "", "1: the node knows who leads", v => v.Add(s.Loop.Standing.Leader is null ? 0 : 1)),
        new("eventvault.raft.term", MetricKind.Gauge, "{term}", "The node's term", v => v.Add(s.Replica.PublishedTerm)),
        new("eventvault.raft.commit_index", MetricKind.Gauge, "{group}", "Log index of the last group that is committed and durable here", v => v.Add(s.Storage.CommitIndex.Value)),
        new("eventvault.raft.last_index", MetricKind.Gauge, "{group}", "Log index of the last group in the node's log", v => v.Add(s.Replica.PublishedLastIndex)),
        new("eventvault.raft.voters", MetricKind.Gauge, "{node}", "Voters of the vault, as the node knows", v => v.Add(s.Loop.Standing.Membership.Members.Count(m => (m.Role & MemberRole.Voter) != 0))),
        new("eventvault.raft.elections", MetricKind.Counter, "{election}", "Elections in which the node asked for votes", v => v.Add(s.Replica.Figures.Elections)),
        new("eventvault.raft.leader_changes", MetricKind.Counter, "{change}", "How often another node came to lead, the first time included", v => v.Add(s.Replica.Figures.LeaderChanges)),
        new("eventvault.raft.transfers", MetricKind.Counter, "{transfer}", "How often the node began to hand leadership over", v => v.Add(s.Replica.Figures.Transfers)),
        new("eventvault.raft.follower.lag", MetricKind.Gauge, "{group}", "On the leader: groups that a follower is not known to hold yet", v => AddFollowers(s, v, (status, f) => status.LastIndex.Value - Math.Min(f.Match.Value, status.LastIndex.Value)))
        {
            Labels = ["peer"],
        },
        new("eventvault.raft.follower.in_flight", MetricKind.Gauge, "By", "On the leader: bytes on their way to a follower", v => AddFollowers(s, v, (_, f) => f.InFlightBytes)) { Labels = ["peer"] },
    ];

    private static IEnumerable<Metric> OfPeers(MetricSources s) =>
    [
        new("eventvault.peer.connected", MetricKind.Gauge, "", "1: both connections to the node stand", v => AddLinks(s, v, l => l.IsConnected ? 1 : 0)) { Labels = ["peer"] },
        new("eventvault.peer.silence", MetricKind.Gauge, "s", "Since anything came from the node", v => AddLinks(s, v, l => l.SinceHeard == TimeSpan.MaxValue ? double.PositiveInfinity : l.SinceHeard.TotalSeconds))
        {
            Labels = ["peer"],
        },
        new("eventvault.peer.clock_ahead", MetricKind.Gauge, "s", "How far the node's clock is ahead of this one's", v => AddLinks(s, v, l => l.ClockAhead.TotalSeconds)) { Labels = ["peer"] },
        new("eventvault.peer.queue.length", MetricKind.Gauge, "{message}", "Messages that wait to be sent to the node", v => AddLinks(s, v, l => l.QueuedMessages)) { Labels = ["peer"] },
        new("eventvault.peer.queue.size", MetricKind.Gauge, "By", "Bytes of those", v => AddLinks(s, v, l => l.QueuedBytes)) { Labels = ["peer"] },
        new("eventvault.peers.sent", MetricKind.Counter, "By", "Bytes of consensus sent to other nodes", v =>
        {
            if (s.Peers.HasPort)
            {
                v.Add(s.Peers.SentBytes);
            }
        }),
    ];

    private static IEnumerable<Metric> OfDisk(MetricSources s)
    {
        var folders = new FolderSizes(s.Options.Directory);
        return
        [
            new("eventvault.disk.free", MetricKind.Gauge, "By", "Bytes that can still be written to the disk of the data directory", v => AddFree(s.Storage, v)),
            new("eventvault.disk.full", MetricKind.Gauge, "", "1: there is no room for the next segment, or to seal one", v => v.Add(s.Storage.DiskIsFull ? 1 : 0)),
            new("eventvault.disk.used", MetricKind.Gauge, "By", "Bytes of the files in a folder of the data directory", folders.Read) { Labels = ["folder"] },
        ];
    }

    private static IEnumerable<Metric> OfUpkeep(MetricSources s) =>
    [
        new("eventvault.scavenge.state", MetricKind.Gauge, "", "1 for what the newest scavenge is doing on this node", v =>
        {
            var state = s.Storage.Scavenger.Progress.State;
            foreach (var one in ScavengeStates)
            {
                v.Add(state == one ? 1 : 0, MetricValues.LabelOf(one));
            }
        })
        {
            Labels = ["state"],
        },
        new("eventvault.scavenge.segments.done", MetricKind.Gauge, "{segment}", "Segments that it has looked at", v => v.Add(s.Storage.Scavenger.Progress.SegmentsDone)),
        new("eventvault.scavenge.segments.all", MetricKind.Gauge, "{segment}", "Segments that it looks at in all", v => v.Add(s.Storage.Scavenger.Progress.SegmentsTotal)),
        new("eventvault.scavenge.freed", MetricKind.Gauge, "By", "Bytes that the log takes less, by all scavenges so far", v => v.Add(s.Storage.Scavenger.Progress.BytesFreed)),
        new("eventvault.retention.truncations", MetricKind.Counter, "{truncation}", "Streams that the node truncated by retention rules", v => v.Add(s.Retention.Truncations)),
        new("eventvault.scrub.checked", MetricKind.Counter, "{segment}", "Sealed segments that were checked for damage", v => v.Add(s.Scrub.Checked)),
        new("eventvault.scrub.damaged", MetricKind.Gauge, "{segment}", "Segments that are damaged and were not replaced yet", v => v.Add(s.Scrub.Damaged)),
        new("eventvault.repairs", MetricKind.Counter, "{repair}", "Repairs of damaged segments that were begun since the process began", v => v.Add(s.Options.Repairs.Begun)),
    ];

    private static void AddReads(NodeFigures figures, MetricValues values, Func<ReadFigures, long> of)
    {
        values.Add(of(figures.StreamReads), "stream");
        values.Add(of(figures.AllReads), "all");
        values.Add(of(figures.Delivered), "subscription");
    }

    private static void AddFollowers(MetricSources sources, MetricValues values, Func<RaftStatus, FollowerProgress, double> of)
    {
        if (sources.Pulse.Status is { Role: Role.Leader } status)
        {
            foreach (var follower in status.Followers.Where(f => f.Id != status.Id))
            {
                values.Add(of(status, follower), Number(follower.Id.Node));
            }
        }
    }

    private static void AddLinks(MetricSources sources, MetricValues values, Func<PeerLink, double> of)
    {
        // A disk that takes another one's place has the same number for a while: one value is enough.
        foreach (var link in sources.Peers.Links.DistinctBy(l => l.Peer.Id.Node))
        {
            values.Add(of(link), Number(link.Peer.Id.Node));
        }
    }

    private static void AddCertificates(MetricSources sources, MetricValues values)
    {
        foreach (var (validUntil, port) in new[] { (sources.Web.Tls?.ValidUntil, "grpc"), (sources.Options.PeerTls?.ValidUntil, "peer") })
        {
            if (validUntil is { } end)
            {
                values.Add((end - DateTime.UtcNow).TotalSeconds, port);
            }
        }
    }

    private static void AddFree(VaultStorage storage, MetricValues values)
    {
        try
        {
            values.Add(storage.FreeBytes);
        }
        catch (DiskException)
        {
            // Whoever writes there finds it out, and says so; here there is no value.
        }
    }

    private static (double Events, double Seconds)? LagOf(MetricSources sources)
    {
        var head = sources.Storage.Head;
        if (sources.Figures.Subscriptions.FurthestBehind(head) is not { } next)
        {
            return null;
        }

        try
        {
            var recorded = DateTimeOffset.UnixEpoch.AddTicks(sources.Storage.Reader.RecordedAt(next));
            return (head.Value - next.Value + 1, Math.Max(0, (sources.Options.Clock.GetUtcNow() - recorded).TotalSeconds));
        }
        catch (Exception e) when (e is DamageException or IndexDamageException or DiskException)
        {
            return (head.Value - next.Value + 1, 0);
        }
    }

    private static double Age(long since) => since == 0 ? 0 : Stopwatch.GetElapsedTime(since).TotalSeconds;

    private static string Number(uint number) => number.ToString(CultureInfo.InvariantCulture);
}
