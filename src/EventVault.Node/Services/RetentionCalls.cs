// SetRetention, GetRetention and ListRetention. To set a rule is an append of one event to `$streams`; the other two answer
// from the rules in memory, which are published before the head that covers them.
using System.Buffers;
using System.Text;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;
using RetentionEntry = EventVault.Storage.Log.RetentionEntry;
using RetentionRule = EventVault.Storage.Log.RetentionRule;
using RetentionScope = EventVault.Protocol.RetentionScope;
using RuleScope = EventVault.Storage.Log.RetentionScope;

namespace EventVault.Node.Services;

/// <summary>The calls about retention rules.</summary>
internal sealed class RetentionCalls(VaultStorage storage, ConsistentReads consistent, NodeLimits limits)
{
    private const int UsualPageRules = 100;

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT.</exception>
    public static void ReadSet(in ReadOnlySequence<byte> bytes, NodeLimits limits, AppendContent content)
    {
        var request = RequestFields.Parse(SetRetentionRequest.Parser, bytes);
        var id = StreamChangeRequests.OperationId(request.OperationId);
        var (scope, name) = ReadScope(request.Scope, limits);
        if (name[0] == (byte)'$')
        {
            throw Errors.ReservedName(FieldOf(scope), Errors.Name(name)).ToException();
        }

        var rule = request.Rule is null ? null : ReadRule(request.Rule);
        content.Reset([]);
        content.OperationId = id;
        content.AttemptedAfter = StreamChangeRequests.Seen(request.AttemptedAfter);
        content.SetRetention(new RetentionSetting(scope, name, rule));
    }

    public async ValueTask<GetRetentionResponse> GetAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(GetRetentionRequest.Parser, request);
        var (scope, name) = ReadScope(parsed.Scope, limits);
        await consistent.WaitAsync(parsed.Consistency, context);
        var rules = storage.Retention;
        var response = new GetRetentionResponse();
        var own = rules.Find(scope, name);
        var category = scope == RuleScope.Stream ? rules.OfCategory(name) : null;
        if ((own ?? category) is not { } limitsFrom)
        {
            return response;
        }

        response.From = Scope(limitsFrom);
        foreach (var entry in (RetentionEntry?[])[own, category])
        {
            if (entry is { Rule.LegalHold: true })
            {
                response.HeldBy.Add(Scope(entry));
            }
        }

        response.Rule = Rule(limitsFrom.Rule with { LegalHold = response.HeldBy.Count > 0 });
        return response;
    }

    public async ValueTask<ListRetentionResponse> ListAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ListRetentionRequest.Parser, request);
        var limit = limits[NodeLimits.ListPageRules];
        if (parsed.PageSize > limit.Allowed)
        {
            throw Errors.LimitExceeded(limit, parsed.PageSize, "page_size").ToException();
        }

        var after = ReadToken(parsed.PageToken);
        await consistent.WaitAsync(parsed.Consistency, context);
        var size = parsed.PageSize == 0 ? UsualPageRules : (int)parsed.PageSize;

        // One more than asked for tells whether there is another page.
        var page = storage.Retention.InOrder().Where(e => IsBehind(e, after)).Take(size + 1).ToList();
        var response = new ListRetentionResponse();
        response.Entries.AddRange(page.Take(size).Select(e => new Protocol.RetentionEntry { Scope = Scope(e), Rule = Rule(e.Rule), SetAt = (ulong)e.SetAt.Value }));
        if (page.Count > size)
        {
            response.NextPageToken = Convert.ToBase64String([(byte)page[size - 1].Scope, .. page[size - 1].Name]);
        }

        return response;
    }

    private static (RuleScope Scope, byte[] Name) ReadScope(RetentionScope? scope, NodeLimits limits)
    {
        var kind = scope?.ScopeCase switch
        {
            RetentionScope.ScopeOneofCase.Stream => RuleScope.Stream,
            RetentionScope.ScopeOneofCase.Category => RuleScope.Category,
            null => throw Errors.InvalidRequest("scope", "is missing: say a stream or a category").ToException(),
            _ => throw Errors.InvalidRequest("scope", "says nothing: one of stream and category must be set").ToException(),
        };
        var field = FieldOf(kind);
        var name = StreamNames.CheckLength(kind == RuleScope.Stream ? scope.Stream : scope.Category, field, limits);
        if (StreamName.Problem(name) is { } why)
        {
            throw Errors.InvalidName(field, null, why).ToException();
        }

        if (kind == RuleScope.Category)
        {
            EventFilters.CheckCategory(name, field);
        }

        return (kind, name);
    }

    private static RetentionRule ReadRule(Protocol.RetentionRule rule)
    {
        var read = new RetentionRule
        {
            MaxAgeSeconds = ReadLimit(rule.HasMaxAgeSeconds, rule.MaxAgeSeconds, RetentionRule.MostAgeSeconds, "max_age_seconds"),
            MaxEvents = ReadLimit(rule.HasMaxEvents, rule.MaxEvents, long.MaxValue, "max_events"),
            MaxBytes = ReadLimit(rule.HasMaxBytes, rule.MaxBytes, long.MaxValue, "max_bytes"),
            Forever = rule.Forever,
            LegalHold = rule.LegalHold,
        };
        if (read.Forever && read.HasLimits)
        {
            throw Errors.InvalidRequest("rule.forever", "does not go with limits: leave out the one or the others").ToException();
        }

        return read.IsValid ? read : throw Errors.InvalidRequest("rule", "says nothing: set one of its fields, or leave it out to take the rule back").ToException();
    }

    private static long? ReadLimit(bool isSet, ulong limit, long most, string field) => !isSet ? null
        : limit >= 1 && limit <= (ulong)most ? (long)limit
        : throw Errors.InvalidRequest($"rule.{field}", FormattableString.Invariant($"is {limit}; 1 to {most} are allowed")).ToException();

    private static (RuleScope Scope, byte[] Name) ReadToken(string token)
    {
        if (token.Length == 0)
        {
            return default;
        }

        var bytes = StreamsService.ReadToken(token);
        return bytes is [(byte)RuleScope.Category or (byte)RuleScope.Stream, _, ..] ? ((RuleScope)bytes[0], bytes[1..]) : throw StreamsService.ForeignToken().ToException();
    }

    private static bool IsBehind(RetentionEntry entry, (RuleScope Scope, byte[] Name) after) =>
        entry.Scope > after.Scope || (entry.Scope == after.Scope && entry.Name.AsSpan().SequenceCompareTo(after.Name) > 0);

    private static string FieldOf(RuleScope scope) => scope == RuleScope.Stream ? "scope.stream" : "scope.category";

    private static RetentionScope Scope(RetentionEntry entry)
    {
        var name = Encoding.UTF8.GetString(entry.Name);
        return entry.Scope == RuleScope.Stream ? new RetentionScope { Stream = name } : new RetentionScope { Category = name };
    }

    private static Protocol.RetentionRule Rule(RetentionRule rule)
    {
        var told = new Protocol.RetentionRule { Forever = rule.Forever, LegalHold = rule.LegalHold };
        if (rule.MaxAgeSeconds is { } age)
        {
            told.MaxAgeSeconds = (ulong)age;
        }

        if (rule.MaxEvents is { } events)
        {
            told.MaxEvents = (ulong)events;
        }

        if (rule.MaxBytes is { } bytes)
        {
            told.MaxBytes = (ulong)bytes;
        }

        return told;
    }
}
