using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node;

/// <summary>One limit, as GetInfo and errors name it.</summary>
/// <param name="Name">Such as <c>event_bytes</c>; the unit is the last word.</param>
/// <param name="Allowed">The most that is allowed.</param>
/// <param name="Setting">The setting that changes it; empty if it is fixed.</param>
internal sealed record NodeLimit(string Name, long Allowed, string Setting = "");

/// <summary>The one table of limits: what is checked is what GetInfo tells.</summary>
internal sealed class NodeLimits
{
    public const string StreamNameBytes = "stream_name_bytes";
    public const string AppendBytes = "append_bytes";
    public const string AppendEvents = "append_events";
    public const string AppendRequires = "append_requires";
    public const string AppendConditions = "append_conditions";
    public const string QueryItems = "query_items";
    public const string QueryKeys = "query_keys";
    public const string ItemTypes = "item_types";
    public const string ItemTags = "item_tags";
    public const string TypeBytes = "type_bytes";
    public const string TagBytes = "tag_bytes";
    public const string MetadataBytes = "metadata_bytes";
    public const string MessageBytes = "message_bytes";
    public const string RequestBytes = "request_bytes";
    public const string FilterBytes = "filter_bytes";
    public const string ListPageStreams = "list_page_streams";
    public const string ExplainPageSegments = "explain_page_segments";
    public const string ListPageRules = "list_page_rules";
    public const string BackupPageSegments = "backup_page_segments";
    public const string BackupReads = "backup_reads";
    public const string StateBytes = "state_bytes";
    public const string FoldEvents = "fold_events";
    public const string FoldNameBytes = "fold_name_bytes";
    public const string StatesListed = "states_listed";
    public const string HistoryStates = "history_states";
    public const string Reducers = "reducers";
    public const string ReducerNameBytes = "reducer_name_bytes";
    public const string ReducerBytes = "reducer_bytes";
    public const string ReducerCategories = "reducer_categories";
    public const string Users = "users";
    public const string UserRoles = "user_roles";
    public const string Roles = "roles";
    public const string RoleGrants = "role_grants";

    /// <summary>Of all calls but appends and folds' states: 1,000 names of streams with room to spare. What such a call asks is decoded before it is known who may ask it. A decimal number: it tells
    /// the limit that a message was over from <see cref="MessageBytes"/>.</summary>
    public const int MostRequestBytes = 2_000_000;

    private readonly Dictionary<string, NodeLimit> _byName;

    public NodeLimits(NodeOptions options, VaultStorage storage)
    {
        All =
        [
            new(StreamNameBytes, VaultLimits.StreamNameBytes),
            new(TypeBytes, VaultLimits.TypeBytes),
            new("content_type_bytes", VaultLimits.ContentTypeBytes),
            new(TagBytes, VaultLimits.TagBytes),
            new("event_tags", VaultLimits.Tags),
            new(MetadataBytes, VaultLimits.MetadataBytes),
            new("metadata_entries", VaultLimits.MetadataEntries),
            new("event_bytes", options.Limits.EventBytes, "event-bytes"),
            new(AppendBytes, storage.MaxAppendBytes, "append-bytes"),
            new(AppendEvents, options.Limits.AppendEvents, "append-events"),
            new(AppendRequires, 1_000), // Each is a look-up on the sequencer's thread: together as long as a flush takes.
            new(AppendConditions, 16), // The decision of one append; how wide they are in all, QueryKeys bounds.
            new(QueryItems, 32), // One decision's or one view's.
            new(QueryKeys, 1_024), // Each is a look-up in every segment, in part on the sequencer's thread: some 0.1 ms together.
            new(ItemTypes, 32),
            new(ItemTags, VaultLimits.Tags), // An event has no more, so more could never match.
            new(MessageBytes, options.MessageBytes, "append-bytes"),
            new(RequestBytes, Math.Min(MostRequestBytes, options.MessageBytes)),
            new(FilterBytes, 128 * 1024), // Kept as long as a subscription is open; the longest correlation id fits, and 1,000 types of usual names.
            new(ListPageStreams, 1_000),
            new(ExplainPageSegments, 1_000),
            new(ListPageRules, 1_000),
            new(BackupPageSegments, 10_000), // 720 KB.
            new(BackupReads, 2), // One backup, and one that looks after another: more would only share the same disk.
            RetentionRules,
            ChangedStreams,
            new(StateBytes, options.StateBytes, "state-bytes"),
            new(FoldEvents, options.FoldEvents, "fold-events"),
            new(FoldNameBytes, 256),
            new(StatesListed, 1_000), // Their names are in one request, checked before the first is folded.
            new(HistoryStates, 10_000), // More than anybody steps through; who wants more goes on behind the last one.
            new(Reducers, 1_000), // Names; all are in memory, and truncations look through them.
            new(ReducerNameBytes, 128),
            new(ReducerBytes, 16 * 1024), // Parsed for calls that bring their own.
            new(ReducerCategories, 64),
            new(Users, 10_000), // All are in memory, on each node.
            new(UserRoles, 50),
            new(Roles, 1_000),
            new(RoleGrants, 100), // Looked through for each stream that a call names.
            new("long_folds", States.FoldPlaces.Places),
            new("waiting_long_folds", States.FoldPlaces.MostWaiting),
            new("queued_appends", options.Queue.QueuedAppends, "queued-appends"),
            new("queued_bytes", options.Queue.QueuedBytes, "queued-bytes"),
            new("receiving_bytes", NodeOptions.ReceivingBytes),
            new("session_appends", options.SessionAppends, "session-appends"),
            new("operation_horizon_appends", options.OperationHorizon, "operation-horizon"),
        ];
        _byName = All.ToDictionary(limit => limit.Name);
    }

    /// <summary>The sequencer's own, as the next one: streams that may ever have been deleted, tombstoned or truncated.</summary>
    public static NodeLimit ChangedStreams { get; } = new("changed_streams", new StorageOptions().ChangedStreams);

    /// <summary>Retention rules, of streams and of categories together. Needs no node to be known.</summary>
    public static NodeLimit RetentionRules { get; } = new("retention_rules", Storage.Log.RetentionRules.MostRules);

    public IReadOnlyList<NodeLimit> All { get; }

    public NodeLimit this[string name] => _byName[name];
}
