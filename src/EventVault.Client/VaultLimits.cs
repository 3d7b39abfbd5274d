namespace EventVault.Client;

/// <summary>
/// The limits that the client checks before sending: the vault's defaults until the node has told its own.
/// </summary>
internal sealed class VaultLimits
{
    public static readonly VaultLimits Defaults = new();

    public VaultLimit StreamName { get; private init; } = new("stream_name_bytes", 1024, "");

    public VaultLimit Type { get; private init; } = new("type_bytes", 256, "");

    public VaultLimit ContentType { get; private init; } = new("content_type_bytes", 256, "");

    public VaultLimit Tag { get; private init; } = new("tag_bytes", 128, "");

    public VaultLimit Tags { get; private init; } = new("event_tags", 16, "");

    public VaultLimit Metadata { get; private init; } = new("metadata_bytes", 64 << 10, "");

    public VaultLimit MetadataEntries { get; private init; } = new("metadata_entries", 1024, "");

    public VaultLimit Event { get; private init; } = new("event_bytes", 4 << 20, "");

    public VaultLimit Append { get; private init; } = new("append_bytes", 16 << 20, "");

    public VaultLimit AppendEvents { get; private init; } = new("append_events", 50_000, "");

    public VaultLimit AppendRequires { get; private init; } = new("append_requires", 1000, "");

    public VaultLimit AppendConditions { get; private init; } = new("append_conditions", 16, "");

    public VaultLimit QueryItems { get; private init; } = new("query_items", 32, "");

    public VaultLimit QueryKeys { get; private init; } = new("query_keys", 1024, "");

    public VaultLimit ItemTypes { get; private init; } = new("item_types", 32, "");

    public VaultLimit ItemTags { get; private init; } = new("item_tags", 16, "");

    /// <summary>The node's limits; those it does not name keep their defaults.</summary>
    public static VaultLimits From(IReadOnlyList<VaultLimit> told)
    {
        VaultLimit Find(VaultLimit limit)
        {
            foreach (VaultLimit candidate in told)
            {
                if (candidate.Name == limit.Name)
                {
                    return candidate;
                }
            }

            return limit;
        }

        return new VaultLimits
        {
            StreamName = Find(Defaults.StreamName),
            Type = Find(Defaults.Type),
            ContentType = Find(Defaults.ContentType),
            Tag = Find(Defaults.Tag),
            Tags = Find(Defaults.Tags),
            Metadata = Find(Defaults.Metadata),
            MetadataEntries = Find(Defaults.MetadataEntries),
            Event = Find(Defaults.Event),
            Append = Find(Defaults.Append),
            AppendEvents = Find(Defaults.AppendEvents),
            AppendRequires = Find(Defaults.AppendRequires),
            AppendConditions = Find(Defaults.AppendConditions),
            QueryItems = Find(Defaults.QueryItems),
            QueryKeys = Find(Defaults.QueryKeys),
            ItemTypes = Find(Defaults.ItemTypes),
            ItemTags = Find(Defaults.ItemTags),
        };
    }
}
