namespace EventVault.Client;

/// <summary>
/// Checks, measures and writes what an append demands beyond its own streams: requirements and conditions. Apart from
/// <see cref="AppendEncoder"/>, which most appends never leave; only appends that use it pay for it.
/// </summary>
/// <remarks>The field numbers are those of proto/eventvault/v1/streams.proto; a test holds both against each other.</remarks>
internal static class ChecksEncoder
{
    private const int RequiresField = 3;
    private const int ConditionsField = 4;

    /// <summary>Checks requirements and conditions and returns the size of their encoded form.</summary>
    /// <exception cref="VaultException">They are not well formed or exceed a limit.</exception>
    public static long Measure(IReadOnlyList<StreamAppend> streams, AppendOptions options, VaultLimits limits)
    {
        CheckCount(limits.AppendRequires, options.Requires.Count, "The append has too many requirements");
        CheckCount(limits.AppendConditions, options.Conditions.Count, "The append has too many conditions");
        if (options.Requires.Count > 0)
        {
            CheckRequirements(streams, options.Requires, limits);
        }

        int keys = 0;
        for (int i = 0; i < options.Conditions.Count; i++)
        {
            AppendCondition condition = options.Conditions[i] ?? throw VaultErrors.InvalidRequest($"conditions[{i}]", "is null");
            QueryChecks.Check(condition.Query, $"conditions[{i}].query", limits, ref keys);
        }

        return Size(options);
    }

    /// <summary>Writes them into a request whose streams are written.</summary>
    public static void Write(ref WireWriter writer, AppendOptions options)
    {
        for (int i = 0; i < options.Requires.Count; i++)
        {
            StreamRequirement required = options.Requires[i];
            writer.BytesHeader(RequiresField, RequirementSize(required));
            writer.StringField(1, required.Stream);
            AppendEncoder.WriteExpected(ref writer, required.Expected);
        }

        for (int i = 0; i < options.Conditions.Count; i++)
        {
            AppendCondition condition = options.Conditions[i];
            writer.BytesHeader(ConditionsField, ConditionSize(condition));
            writer.BytesHeader(1, QuerySize(condition.Query));
            WriteQuery(ref writer, condition.Query);

            // Position 0 and "not set" are different things.
            if (condition.After is { } after)
            {
                writer.VarintField(2, after);
            }
        }
    }

    private static void CheckRequirements(IReadOnlyList<StreamAppend> streams, IReadOnlyList<StreamRequirement> requires, VaultLimits limits)
    {
        var names = new HashSet<string>(streams.Count + requires.Count, StringComparer.Ordinal);
        foreach (StreamAppend stream in streams)
        {
            names.Add(stream.Stream);
        }

        for (int i = 0; i < requires.Count; i++)
        {
            StreamRequirement required = requires[i] ?? throw VaultErrors.InvalidRequest($"requires[{i}]", "is null");
            VaultNames.CheckStream(required.Stream, i, limits, "requires");
            if (required.Expected.Kind == ExpectedVersionKind.Unspecified)
            {
                throw VaultErrors.InvalidRequest($"requires[{i}].expected", "is not set; use ExpectedVersion.NoStream, Exists or Exact");
            }

            if (!names.Add(required.Stream))
            {
                throw VaultErrors.InvalidRequest($"requires[{i}].stream", "names a stream that the append writes or requires before");
            }
        }
    }

    private static long Size(AppendOptions options)
    {
        long size = 0;
        for (int i = 0; i < options.Requires.Count; i++)
        {
            size += WireWriter.BytesFieldSize(RequirementSize(options.Requires[i]));
        }

        for (int i = 0; i < options.Conditions.Count; i++)
        {
            size += WireWriter.BytesFieldSize(ConditionSize(options.Conditions[i]));
        }

        return size;
    }

    private static int RequirementSize(StreamRequirement required) =>
        AppendEncoder.StringSize(required.Stream) + WireWriter.BytesFieldSize(AppendEncoder.ExpectedSize(required.Expected));

    private static int ConditionSize(AppendCondition condition) =>
        WireWriter.BytesFieldSize(QuerySize(condition.Query)) + (condition.After is { } after ? WireWriter.VarintFieldSize(after) : 0);

    private static int QuerySize(EventQuery query)
    {
        int size = 0;
        for (int i = 0; i < query.Items.Count; i++)
        {
            size += WireWriter.BytesFieldSize(ItemSize(query.Items[i]));
        }

        return size;
    }

    private static int ItemSize(QueryItem item)
    {
        int size = 0;
        for (int i = 0; i < item.Types.Count; i++)
        {
            size += AppendEncoder.StringSize(item.Types[i]);
        }

        for (int i = 0; i < item.Tags.Count; i++)
        {
            size += AppendEncoder.StringSize(item.Tags[i]);
        }

        return size;
    }

    private static void WriteQuery(ref WireWriter writer, EventQuery query)
    {
        for (int i = 0; i < query.Items.Count; i++)
        {
            QueryItem item = query.Items[i];
            writer.BytesHeader(1, ItemSize(item));
            for (int type = 0; type < item.Types.Count; type++)
            {
                writer.StringField(1, item.Types[type]);
            }

            for (int tag = 0; tag < item.Tags.Count; tag++)
            {
                writer.StringField(2, item.Tags[tag]);
            }
        }
    }

    private static void CheckCount(VaultLimit limit, int count, string what)
    {
        if ((ulong)count > limit.Allowed)
        {
            throw VaultErrors.LimitExceeded(limit, (ulong)count, what);
        }
    }
}
