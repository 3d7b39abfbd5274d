namespace EventVault.Node;

internal static partial class LogMessages
{
    [LoggerMessage(EventId = 1, Level = LogLevel.Information, Message = "Opened vault {VaultId} in {Directory}: start {StartNumber}, head {Head}, {Sealed} sealed and {Unsealed} unsealed segments of {SegmentBytes} bytes, {CutBytes} torn bytes cut off, in {ElapsedMs} ms.")]
    public static partial void Opened(ILogger logger, Guid vaultId, string directory, uint startNumber, long head, int @sealed, int @unsealed, uint segmentBytes, uint cutBytes, double elapsedMs);

    [LoggerMessage(EventId = 2, Level = LogLevel.Information, Message = "Serving gRPC on {Rpc} and HTTP on {Http}.")]
    public static partial void Serving(ILogger logger, System.Net.IPEndPoint rpc, System.Net.IPEndPoint http);

    [LoggerMessage(EventId = 5, Level = LogLevel.Information, Message = "Stopping: new calls are refused, queued appends are finished.")]
    public static partial void Stopping(ILogger logger);

    [LoggerMessage(EventId = 6, Level = LogLevel.Warning, Message = "{Calls} calls did not end within {Limit} and were cut short.")]
    public static partial void CallsCut(ILogger logger, long calls, TimeSpan limit);

    [LoggerMessage(EventId = 7, Level = LogLevel.Information, Message = "Stopped; {Appends} appends with {Events} events were written since the start.")]
    public static partial void Stopped(ILogger logger, long appends, long events);

    [LoggerMessage(EventId = 8, Level = LogLevel.Critical, Message = "The disk failed in the thread {Thread}; nothing more is written or acknowledged. The log is recovered at the next start: check the disk first.")]
    public static partial void DiskFailed(ILogger logger, Exception error, string thread);

    [LoggerMessage(EventId = 9, Level = LogLevel.Critical, Message = "The thread {Thread} found a rule of the program broken; nothing more is written or acknowledged. This is a bug: report it with this log, then start the node again.")]
    public static partial void Failed(ILogger logger, Exception error, string thread);

    [LoggerMessage(EventId = 10, Level = LogLevel.Warning, Message = "The disk is full: appends are refused until space returns; reads go on.")]
    public static partial void DiskFull(ILogger logger);

    [LoggerMessage(EventId = 11, Level = LogLevel.Information, Message = "There is space on the disk again: appends are accepted.")]
    public static partial void DiskHasSpace(ILogger logger);

    [LoggerMessage(EventId = 20, Level = LogLevel.Warning, Message = "Nothing confirms the clock. It is ahead of the newest event, or of the machine's monotonic clock, by {Ahead}, or the newest events were recorded behind a step of more than an hour. By it, retention finds no event too old until it has run steadily for {Confirmation}. If it is wrong, set it right before that; if it is right, nothing need be done.")]
    public static partial void ClockIsAhead(ILogger logger, TimeSpan ahead, TimeSpan confirmation);

    [LoggerMessage(EventId = 21, Level = LogLevel.Information, Message = "The clock is believed: retention goes by it again.")]
    public static partial void ClockIsBelieved(ILogger logger);

    [LoggerMessage(EventId = 22, Level = LogLevel.Warning, Message = "Retention met damage; what it hides is not found due. Run vault-admin verify.")]
    public static partial void RetentionMetDamage(ILogger logger, Exception damage);

    [LoggerMessage(EventId = 23, Level = LogLevel.Warning, Message = "{Count} streams have events due that stay until the states that stand on them can be recorded, the first is {Stream}. GetState tells what is wrong with it; a state that is too large goes when its reducer is defined anew, without the category or with less to keep.")]
    public static partial void RetentionWaits(ILogger logger, Exception why, int count, string stream);

    [LoggerMessage(EventId = 24, Level = LogLevel.Error, Message = "Metrics and traces can't be exported by OTLP; all else goes on, and /metrics too. See to the variables OTEL_… and start the node again.")]
    public static partial void NoExporter(ILogger logger, Exception error);

    [LoggerMessage(EventId = 25, Level = LogLevel.Warning, Message = "Histograms can't be exported to {Endpoint}. It is tried again and again; nothing is lost but time.")]
    public static partial void CannotExport(ILogger logger, Exception error, Uri endpoint);

    [LoggerMessage(EventId = 26, Level = LogLevel.Information, Message = "Histograms are exported to {Endpoint} again.")]
    public static partial void ExportsAgain(ILogger logger, Uri endpoint);

    [LoggerMessage(EventId = 12, Level = LogLevel.Critical, Message = "The node can't start.")]
    public static partial void CannotStart(ILogger logger, Exception error);

    [LoggerMessage(EventId = 30, Level = LogLevel.Information, Message = "Starting a scavenge: it would free about {RemovableBytes} of {Bytes} bytes.")]
    public static partial void ScavengeStarts(ILogger logger, long removableBytes, long bytes);

    [LoggerMessage(EventId = 31, Level = LogLevel.Warning, Message = "The scavenge was not started, the next look comes: {Why}")]
    public static partial void ScavengeNotStarted(ILogger logger, string why);

    [LoggerMessage(EventId = 32, Level = LogLevel.Information, Message = "The scavenge of point {Point} is {State}: {Rewritten} of {Total} segments were written anew; {BytesFreed} bytes were given back by all scavenges so far.")]
    public static partial void ScavengeEnded(ILogger logger, long point, EventVault.Storage.Scavenging.ScavengeState state, int rewritten, int total, long bytesFreed);

    [LoggerMessage(EventId = 33, Level = LogLevel.Error, Message = "The scavenge met damage and rests until another is started; nothing was changed. Stop the node, run vault-admin verify and restore the segment.")]
    public static partial void ScavengeDamaged(ILogger logger, Exception error);

    [LoggerMessage(EventId = 36, Level = LogLevel.Warning, Message = "Damage was met in {Path}, a file that only finds events: it was made again from the log. A disk that damages files should be looked at.")]
    public static partial void KeysMadeAgain(ILogger logger, string path);

    [LoggerMessage(EventId = 35, Level = LogLevel.Warning, Message = "The scavenge did not do all there was: {Why}")]
    public static partial void ScavengeIsNotWhole(ILogger logger, string why);

    [LoggerMessage(EventId = 34, Level = LogLevel.Warning, Message = "Damage was met while looking whether a scavenge is worth it; none starts by itself before the next look. Run vault-admin verify.")]
    public static partial void ScavengeLookDamaged(ILogger logger, Exception error);

    [LoggerMessage(EventId = 40, Level = LogLevel.Information, Message = "This node leads in term {Term}; it takes appends: {TakesAppends}.")]
    public static partial void Leads(ILogger logger, ulong term, bool takesAppends);

    [LoggerMessage(EventId = 41, Level = LogLevel.Information, Message = "Node {Leader} leads in term {Term}.")]
    public static partial void Follows(ILogger logger, EventVault.Raft.ReplicaId leader, ulong term);

    [LoggerMessage(EventId = 42, Level = LogLevel.Information, Message = "The vault's members are {Members}.")]
    public static partial void MembersChanged(ILogger logger, EventVault.Raft.Membership members);

    [LoggerMessage(EventId = 43, Level = LogLevel.Information, Message = "Asked by {Caller} at {Peer}: {Change}.")]
    public static partial void MembersAsked(ILogger logger, string caller, string peer, string change);

    [LoggerMessage(EventId = 44, Level = LogLevel.Warning, Message = "Handing leadership over to node {To}: {Why}.")]
    public static partial void HandsOver(ILogger logger, EventVault.Raft.ReplicaId to, string why);

    [LoggerMessage(EventId = 45, Level = LogLevel.Error, Message = "This node's clock differs by {Offset} from most of the others': it leads no more until that is right. Set the clock.")]
    public static partial void ClockDiffers(ILogger logger, TimeSpan offset);

    [LoggerMessage(EventId = 46, Level = LogLevel.Information, Message = "This node's clock agrees with the others' again.")]
    public static partial void ClockAgrees(ILogger logger);

    [LoggerMessage(EventId = 47, Level = LogLevel.Warning, Message = "This node was removed from the vault. It keeps its data and answers local reads only. Stop it, or add it again.")]
    public static partial void Removed(ILogger logger);

    [LoggerMessage(EventId = 48, Level = LogLevel.Error, Message = "A follower needs groups that can't be read here; the others are served on.")]
    public static partial void CannotSend(ILogger logger, Exception damage);

    [LoggerMessage(EventId = 49, Level = LogLevel.Information, Message = "Opening anew: {Why}.")]
    public static partial void OpensAnew(ILogger logger, string why);

    [LoggerMessage(EventId = 50, Level = LogLevel.Information, Message = "This node belongs to no vault yet, and waits on {Rpc} (HTTP {Http}, peers {Peers}) to be made one's first node or added to one.")]
    public static partial void Unjoined(ILogger logger, System.Net.IPEndPoint rpc, System.Net.IPEndPoint http, string peers);

    [LoggerMessage(EventId = 52, Level = LogLevel.Warning, Message = "The disk {Node}, which was damaged and has begun anew, takes the place of the node's old one.")]
    public static partial void TakenIn(ILogger logger, EventVault.Raft.ReplicaId node);

    [LoggerMessage(EventId = 53, Level = LogLevel.Warning, Message = "This node waits for its place: {Problem}.")]
    public static partial void WaitsForPlace(ILogger logger, string problem);

    [LoggerMessage(EventId = 51, Level = LogLevel.Information, Message = "Node {Node} has caught up and becomes a voter.")]
    public static partial void Promotes(ILogger logger, EventVault.Raft.ReplicaId node);

    [LoggerMessage(EventId = 57, Level = LogLevel.Error, Message = "The log's end is DAMAGED on this disk. Nothing was changed: the node waits for a leader of the others before the disk begins anew ({Why}): {Damage}")]
    public static partial void WaitsToBeginAnew(ILogger logger, string why, string damage);

    [LoggerMessage(EventId = 58, Level = LogLevel.Warning, Message = "The disk of node {Node} is damaged in the end of its log, and may begin anew: a majority without it was there a moment ago.")]
    public static partial void MayBeginAnew(ILogger logger, uint node);

    [LoggerMessage(EventId = 59, Level = LogLevel.Information, Message = "The vault is being opened: {Doing}. Until then calls are refused on {Rpc} (HTTP {Http}).")]
    public static partial void IsOpening(ILogger logger, string doing, System.Net.IPEndPoint rpc, System.Net.IPEndPoint http);

    [LoggerMessage(EventId = 56, Level = LogLevel.Information, Message = "Node {Node} is reached by other nodes at {Address} now.")]
    public static partial void Moved(ILogger logger, EventVault.Raft.ReplicaId node, string address);

    [LoggerMessage(EventId = 55, Level = LogLevel.Critical, Message = "This node takes part in nothing any more: {Why}.")]
    public static partial void OldDisk(ILogger logger, string why);
}
