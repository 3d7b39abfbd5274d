namespace EventVault.Client;

/// <summary>What the client checks of retention rules before it sends them; the same as the node checks.</summary>
internal static class RetentionChecks
{
    /// <param name="scope">To what the rule applies.</param>
    /// <param name="limits">The limits that hold.</param>
    /// <exception cref="VaultException">It names nothing, one of the vault's own streams, or what no name can be.</exception>
    public static void Check(RetentionScope scope, VaultLimits limits)
    {
        string field = scope.IsCategory ? "scope.category" : "scope.stream";
        if (scope == default)
        {
            throw VaultErrors.InvalidRequest("scope", "is not set; use RetentionScope.Stream or RetentionScope.Category");
        }

        if (scope.IsCategory)
        {
            QueryChecks.CheckCategory(scope.Name, field, limits);
        }
        else
        {
            VaultNames.CheckStream(scope.Name, index: -1, limits);
        }

        if (scope.Name[0] == '$')
        {
            throw VaultErrors.ReservedName(field, scope.Name);
        }
    }

    /// <param name="rule">The rule.</param>
    /// <exception cref="VaultException">It says nothing, contradicts itself, or a limit is out of its range.</exception>
    public static void Check(RetentionRule rule)
    {
        bool hasLimit = rule.MaxAge is not null || rule.MaxEvents is not null || rule.MaxBytes is not null;
        if (!hasLimit && !rule.Forever && !rule.LegalHold)
        {
            throw VaultErrors.InvalidRequest("rule", "says nothing; set a limit, Forever or LegalHold, or remove the rule");
        }

        if (hasLimit && rule.Forever)
        {
            throw VaultErrors.InvalidRequest("rule.forever", "does not go with limits");
        }

        if (rule.MaxAge is { } age && (age < TimeSpan.FromSeconds(1) || age > RetentionRule.MostMaxAge || age.Ticks % TimeSpan.TicksPerSecond != 0))
        {
            throw VaultErrors.InvalidRequest("rule.max_age_seconds", $"is {age}; whole seconds from 1 second to 36525 days are allowed");
        }

        CheckLimit(rule.MaxEvents, "rule.max_events");
        CheckLimit(rule.MaxBytes, "rule.max_bytes");
    }

    private static void CheckLimit(ulong? limit, string field)
    {
        if (limit is 0 or > long.MaxValue)
        {
            throw VaultErrors.InvalidRequest(field, limit == 0
                ? "is 0; at least the last event is kept. To end a stream, delete it"
                : $"is {limit.Value.ToString(System.Globalization.CultureInfo.InvariantCulture)}; at most 9223372036854775807 is allowed");
        }
    }
}
