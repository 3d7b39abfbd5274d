namespace EventVault.Client.Tests.Support;

/// <summary>What retention rules mean, in the simplest form. Nothing becomes due here: that is the node's work.</summary>
public sealed class MemoryRetention
{
    private readonly Dictionary<Protocol.RetentionScope, Protocol.RetentionEntry> _rules = [];

    /// <summary>Categories first, then streams, each in the order of their names.</summary>
    public IEnumerable<Protocol.RetentionEntry> All => _rules.Values
        .OrderBy(e => e.Scope.ScopeCase == Protocol.RetentionScope.ScopeOneofCase.Stream)
        .ThenBy(e => e.Scope.Category + e.Scope.Stream, StringComparer.Ordinal);

    /// <summary>Sets a rule, or takes it back.</summary>
    /// <param name="scope">To what it applies.</param>
    /// <param name="rule">Null: takes it back.</param>
    /// <param name="at">Position of the event that says so.</param>
    public void Set(Protocol.RetentionScope scope, Protocol.RetentionRule? rule, ulong at)
    {
        _rules.Remove(scope);
        if (rule is not null)
        {
            _rules[scope] = new Protocol.RetentionEntry { Scope = scope, Rule = rule, SetAt = at };
        }
    }

    public Protocol.GetRetentionResponse Of(Protocol.RetentionScope scope)
    {
        var response = new Protocol.GetRetentionResponse();
        Protocol.RetentionEntry[] found = [.. Scopes(scope).Where(_rules.ContainsKey).Select(s => _rules[s])];
        if (found.Length > 0)
        {
            Protocol.RetentionEntry from = found[0];
            response.Rule = from.Rule.Clone();
            response.Rule.LegalHold = found.Any(e => e.Rule.LegalHold);
            response.From = from.Scope;
            response.HeldBy.AddRange(found.Where(e => e.Rule.LegalHold).Select(e => e.Scope));
        }

        return response;
    }

    public bool Holds(string stream) => Of(new Protocol.RetentionScope { Stream = stream }).HeldBy.Count > 0;

    // A stream's own rule before its category's.
    private static IEnumerable<Protocol.RetentionScope> Scopes(Protocol.RetentionScope scope)
    {
        yield return scope;
        if (scope.ScopeCase == Protocol.RetentionScope.ScopeOneofCase.Stream)
        {
            yield return new Protocol.RetentionScope { Category = MemoryFilter.Category(scope.Stream) };
        }
    }
}
